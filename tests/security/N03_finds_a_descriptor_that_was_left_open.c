// SPDX-License-Identifier: Apache-2.0
// attack: use a descriptor that a service forgot to close
// outside: sh -c 'exec "$@" 9</' sh
// control: got through to \d+ .*
// inside: nothing but 0, 1 and 2
#include "probe.h"
#include <fcntl.h>

int main(void)
{
    char path[64], target[256] = "";
    int found = 0;
    here();
    for (int fd = 0; fd < 65536; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        if (fd <= 2) {
            found++;
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        return say("got through to %d %s", fd, target);
    }
    return found == 3 ? say("nothing but 0, 1 and 2") : say("%d of the first three", found);
}
