// SPDX-License-Identifier: Apache-2.0
// attack: take away the terminal that another session has
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

int main(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), ready[2];
    must(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "make a terminal");
    must(pipe(ready) == 0, "make a pipe");
    pid_t owner = fork();
    if (owner == 0) {
        if (setsid() < 0 || open(ptsname(master), O_RDWR) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    must(owner > 0 && read(ready[0], &c, 1) == 1, "give it to another session");
    pid_t thief = fork();
    must(thief >= 0, "fork");
    if (thief == 0) {
        must(setsid() > 0, "lead a session");
        int tty = open(ptsname(master), O_RDWR | O_NOCTTY);
        must(tty >= 0, "open the terminal");
        here();
        return outcome(ioctl(tty, TIOCSCTTY, 1));
    }
    waitpid(thief, NULL, 0);
    kill(owner, SIGKILL);
    return 0;
}
