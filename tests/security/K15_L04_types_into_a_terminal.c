// SPDX-License-Identifier: Apache-2.0
// attack: put characters into a terminal, as if its user had typed them
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

int main(void)
{
    char c = 'x';
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    must(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "make a terminal");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child > 0) {
        waitpid(child, NULL, 0);
        return 0;
    }
    must(setsid() > 0, "lead a session");
    int tty = open(ptsname(master), O_RDWR);
    must(tty >= 0, "open the terminal");
    here();
    return outcome(ioctl(tty, TIOCSTI, &c));
}
