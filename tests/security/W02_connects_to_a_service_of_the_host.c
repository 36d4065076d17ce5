// SPDX-License-Identifier: Apache-2.0
// attack: connect to a server on the host's loopback interface
// args outside: {listener_port}
// args inside: {listener_port}
// inside: refused ECONNREFUSED
#include "probe.h"
#include <arpa/inet.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    must(argc == 2, "know the port");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0, "make a socket");
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtol(argv[1], NULL, 10)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    here();
    return outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
}
