// SPDX-License-Identifier: Apache-2.0
// attack: read what firmware, buses, timers and the kernel's debugging tell about the machine
// control: got through to /.*
// inside: nothing to see in 18 places
#include "probe.h"
#include <dirent.h>
#include <fcntl.h>

static int shows(const char *path)
{
    char byte;
    DIR *d = opendir(path);
    if (d) {
        int n = 0;
        while (readdir(d))
            n++;
        closedir(d);
        return n > 2;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    int seen = fd >= 0 && read(fd, &byte, 1) > 0;
    if (fd >= 0)
        close(fd);
    return seen;
}

int main(void)
{
    static const char *const place[] = { "/sys/firmware",
                                         "/sys/class",
                                         "/sys/block",
                                         "/sys/bus",
                                         "/sys/module",
                                         "/sys/fs",
                                         "/sys/kernel/debug",
                                         "/sys/kernel/tracing",
                                         "/sys/kernel/security",
                                         "/sys/power",
                                         "/proc/acpi",
                                         "/proc/scsi",
                                         "/proc/timer_list",
                                         "/proc/driver",
                                         "/proc/sched_debug",
                                         "/proc/interrupts",
                                         "/sys/class/dmi/id/product_name",
                                         "/sys/devices/system/node" };
    int n = 0;
    here();
    for (size_t i = 0; i < sizeof place / sizeof *place; i++, n++)
        if (shows(place[i]))
            return say("got through to %s", place[i]);
    return say("nothing to see in %d places", n);
}
