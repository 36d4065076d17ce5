// SPDX-License-Identifier: Apache-2.0
// attack: find a route to anywhere: metadata services in every spelling, private and special networks, the world, its name servers, v4 and v6. (A datagram socket's connect looks
// for a route and sends nothing, so that no test sends a packet to a foreign address, whatever it finds.)
// outside: unshare --net sh -c 'ip link set lo up && ip route add default dev lo && exec "$@"' sh
// control: got through to 169.254.169.254
// inside: refused ENETUNREACH for all 21
#include "probe.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static int try(const char *address)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(80) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
    int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    must(is_v4 || inet_pton(AF_INET6, address, &v6.sin6_addr) == 1, "read an address");
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    must(fd >= 0, "make a socket");
    int rc = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                   : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

int main(void)
{
    static const char *const address[] = { "169.254.169.254",
                                           "10.0.0.1",
                                           "172.17.0.1",
                                           "192.168.0.1",
                                           "100.100.100.200",
                                           "100.64.0.1",
                                           "192.0.2.1",
                                           "192.0.0.192",
                                           "198.18.0.1",
                                           "224.0.0.1",
                                           "240.0.0.1",
                                           "0.1.2.3",
                                           "255.255.255.255",
                                           "8.8.8.8",
                                           "1.1.1.1",
                                           "::ffff:169.254.169.254",
                                           "::ffff:10.0.0.1",
                                           "64:ff9b::a9fe:a9fe",
                                           "fd00:ec2::254",
                                           "2001:db8::1",
                                           "2606:4700:4700::1111" };
    int n = 0;
    here();
    for (size_t i = 0; i < sizeof address / sizeof *address; i++) {
        if (try(address[i]) == 0)
            return say("got through to %s", address[i]);
        if (errno != ENETUNREACH)
            return say("%s: %s", address[i], strerrorname_np(errno));
        n++;
    }
    return say("refused ENETUNREACH for all %d", n);
}
