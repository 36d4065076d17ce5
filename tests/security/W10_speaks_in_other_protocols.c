// SPDX-License-Identifier: Apache-2.0
// attack: carry data by ICMP, SCTP, GRE, IP in IP, ESP, UDP-Lite and bare IP, which filters of ports do not see
// control: got through to \d+: .*icmp.*
// inside: refused for all 8
#include "probe.h"
#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
    static const struct {
        const char *name;
        int family, type, protocol;
    } way[] = { { "icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP },
                { "icmpv6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6 },
                { "sctp", AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP },
                { "gre", AF_INET, SOCK_RAW, IPPROTO_GRE },
                { "ipip", AF_INET, SOCK_RAW, IPPROTO_IPIP },
                { "esp", AF_INET, SOCK_RAW, IPPROTO_ESP },
                { "raw", AF_INET, SOCK_RAW, IPPROTO_RAW },
                { "dccp", AF_INET, SOCK_DCCP, IPPROTO_DCCP } };
    char names[256] = "";
    int through = 0, refused = 0;
    here();
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        int fd = socket(way[i].family, way[i].type, way[i].protocol);
        refused += fd < 0 && (errno == EPERM || errno == EACCES);
        if (fd < 0)
            continue;
        close(fd);
        through++;
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, " %s", way[i].name);
    }
    return through ? say("got through to %d:%s", through, names)
                   : say("refused for all %d", refused);
}
