// SPDX-License-Identifier: Apache-2.0
// attack: connect to a server that listens on every address of the host
// args outside: {listener_port} {host_addresses}
// args inside: {listener_port} {host_addresses}
// inside: refused ECONNREFUSED or ENETUNREACH for all \d+
#include "probe.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static int try(const char *address, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtol(port, NULL, 10)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0, "make a socket");
    must(inet_pton(AF_INET, address, &to.sin_addr) == 1, "read an address");
    int rc = connect(fd, (struct sockaddr *)&to, sizeof to), error = errno;
    close(fd);
    errno = error;
    return rc;
}

int main(int argc, char **argv)
{
    int n = 0;
    must(argc >= 3, "know the port and the addresses");
    here();
    for (int i = 2; i < argc; i++, n++) {
        if (try(argv[i], argv[1]) == 0)
            return say("got through");
        if (errno != ECONNREFUSED && errno != ENETUNREACH)
            return outcome(-1);
    }
    return say("refused ECONNREFUSED or ENETUNREACH for all %d", n);
}
