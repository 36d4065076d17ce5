// SPDX-License-Identifier: Apache-2.0
// attack: open kvm, fuse, tun, loop and memory devices
// control: got through to /dev/.*
// inside: refused ENOENT for all 8
#include "probe.h"
#include <fcntl.h>

int main(void)
{
    static const char *const device[] = { "/dev/kvm",     "/dev/fuse",
                                          "/dev/net/tun", "/dev/loop-control",
                                          "/dev/mem",     "/dev/port",
                                          "/dev/kmsg",    "/dev/userfaultfd" };
    int absent = 0;
    here();
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) {
        int fd = open(device[i], O_RDWR | O_NONBLOCK);
        if (fd >= 0)
            return say("got through to %s", device[i]);
        absent += errno == ENOENT;
    }
    return say("refused ENOENT for all %d", absent);
}
