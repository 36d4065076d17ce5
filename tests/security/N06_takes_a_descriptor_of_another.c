// SPDX-License-Identifier: Apache-2.0
// attack: copy a descriptor out of another process by its pidfd, the agent's first of all
// args outside: {canary_pid}
// args inside: 1
// inside: refused EPERM
#include "probe.h"
#include <sys/syscall.h>

int main(int argc, char **argv)
{
    must(argc == 2, "know the number");
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(argv[1], NULL, 10), 0);
    must(fd >= 0, "open the process");
    here();
    return outcome(syscall(SYS_pidfd_getfd, fd, 0, 0));
}
