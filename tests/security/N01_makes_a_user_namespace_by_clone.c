// SPDX-License-Identifier: Apache-2.0
// attack: the same by clone, with the flag hidden among high bits that the kernel ignores
// inside: refused EPERM
#include "probe.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(void)
{
    here();
    long pid = syscall(SYS_clone, 0xff00000000000000UL | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    int rc = outcome(pid);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return rc;
}
