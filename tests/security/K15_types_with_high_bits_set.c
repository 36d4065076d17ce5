// SPDX-License-Identifier: Apache-2.0
// attack: the same, with high bits in the number of the ioctl, which the kernel cuts off and a 64-bit comparison does not
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
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
    return outcome(syscall(SYS_ioctl, (long)tty, 0x100000000UL | TIOCSTI, &c));
}
