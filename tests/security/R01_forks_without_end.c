// SPDX-License-Identifier: Apache-2.0
// attack: a fork bomb
// args outside: 3000
// args inside: 100000
// inside: refused EAGAIN after \d{2,4}
// where: apart
#include "probe.h"
#include <signal.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    long most = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    pid_t self = getpid();
    here();
    for (long n = 0; n < most; n++) {
        pid_t pid = fork();
        if (pid < 0)
            return say("refused %s after %ld", strerrorname_np(errno), n);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == self)
                pause();
            _exit(0);
        }
    }
    return say("got through");
}
