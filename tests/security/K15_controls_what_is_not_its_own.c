// SPDX-License-Identifier: Apache-2.0
// attack: ioctls that paste into a console, configure interfaces, attach loop devices, change a file's project and share blocks of the image
// outside: unshare --net
// control: .*got through.*
// inside: TIOCLINUX EPERM, TIOCSETD EPERM, SIOCSIFFLAGS EPERM, SIOCADDRT EPERM, SIOCETHTOOL EPERM, LOOP_SET_FD ENOTTY, FSSETXATTR (EOPNOTSUPP|ENOTTY|EPERM|EINVAL), FICLONE (EOPNOTSUPP|EXDEV|EINVAL)
#include "probe.h"
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static char line[1024];

static void one(const char *name, int rc)
{
    size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, "%s%s %s", n ? ", " : "", name,
             rc >= 0 ? "got through" : strerrorname_np(errno));
}

int main(void)
{
    char paste[2] = { 3, 0 };
    int discipline = 0;
    struct ifreq flags = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    struct ethtool_value features = { .cmd = ETHTOOL_SGSO };
    struct ifreq tool = { .ifr_name = "lo", .ifr_data = (char *)&features };
    struct rtentry route = { 0 };
    struct fsxattr attr = { .fsx_projid = 7 };
    int tty = posix_openpt(O_RDWR | O_NOCTTY), s = socket(AF_INET, SOCK_DGRAM, 0);
    int file = open("mine", O_CREAT | O_RDWR, 0600), image = open("/bin/sh", O_RDONLY);
    must(tty >= 0 && s >= 0 && file >= 0 && image >= 0,
         "open a terminal, a socket and two files");
    must(unlockpt(tty) == 0, "unlock the terminal");
    here();
    one("TIOCLINUX", ioctl(tty, TIOCLINUX, paste));
    one("TIOCSETD", ioctl(tty, TIOCSETD, &discipline));
    one("SIOCSIFFLAGS", ioctl(s, SIOCSIFFLAGS, &flags));
    one("SIOCADDRT", ioctl(s, SIOCADDRT, &route));
    one("SIOCETHTOOL", ioctl(s, SIOCETHTOOL, &tool));
    one("LOOP_SET_FD", ioctl(file, LOOP_SET_FD, image));
    one("FSSETXATTR", ioctl(file, FS_IOC_FSSETXATTR, &attr));
    one("FICLONE", ioctl(file, FICLONE, image));
    unlink("mine");
    return say("%s", line);
}
