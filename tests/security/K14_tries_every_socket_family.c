// SPDX-License-Identifier: Apache-2.0
// attack: open a socket of each family, and of each netlink protocol, that the kernel may know: XDP, KEY, TIPC, RDS, CAN, Bluetooth ...
// control: got through to \d+:.*
// inside: refused EPERM for all 66
#include "probe.h"
#include <linux/netlink.h>
#include <sys/socket.h>

int main(void)
{
    static const int type[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
    int refused = 0, through = 0;
    char names[1024] = "";
    here();
    for (int family = 0; family < 48; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
            family == AF_NETLINK)
            continue;
        int shut = 0;
        for (int i = 0; i < 4; i++) {
            int fd = socket(family, type[i], 0);
            if (fd >= 0)
                close(fd);
            shut += fd < 0 && errno == EPERM;
            through += fd >= 0;
        }
        refused += shut == 4;
        if (shut != 4 && strlen(names) < sizeof names - 32)
            snprintf(names + strlen(names), 32, " family %d", family);
    }
    for (int protocol = 1; protocol <= 22; protocol++) { // the kernel knows no more
        int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
        if (fd >= 0)
            close(fd);
        through += fd >= 0;
        refused += fd < 0 && errno == EPERM;
        if (fd >= 0 && strlen(names) < sizeof names - 32)
            snprintf(names + strlen(names), 32, " netlink %d", protocol);
    }
    return through ? say("got through to %d:%s", through, names)
                   : say("refused EPERM for all %d%s", refused, names);
}
