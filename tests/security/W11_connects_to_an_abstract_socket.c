// SPDX-License-Identifier: Apache-2.0
// attack: connect to a Unix socket without a path, which no directory's mode protects
// args outside: {abstract_name}
// args inside: {abstract_name}
// inside: refused ECONNREFUSED
#include "probe.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    must(argc == 2 && strlen(argv[1]) < sizeof to.sun_path - 1, "know the name");
    memcpy(to.sun_path + 1, argv[1], strlen(argv[1]));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    must(fd >= 0, "make a socket");
    here();
    // With the length of the name, and as those do who pad the name with zeros.
    socklen_t exact = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[1]));
    if (connect(fd, (struct sockaddr *)&to, exact) == 0)
        return say("got through");
    return outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
}
