// SPDX-License-Identifier: Apache-2.0
// attack: read what proc tells about kernel memory, keys, timers and other processes' logs
// args outside: outside
// control: got through to /proc/.*
// inside: nothing to read in 12 files
#include "probe.h"
#include <fcntl.h>

int main(int argc, char **argv)
{
    static const char *const file[] = {
        "/proc/kcore",       "/proc/kallsyms",    "/proc/keys",     "/proc/key-users",
        "/proc/timer_list",  "/proc/vmallocinfo", "/proc/slabinfo", "/proc/iomem",
        "/proc/sched_debug", "/proc/modules",     "/proc/kmsg",     "/dev/kmsg"
    };
    char bytes[64];
    int n = 0;
    (void)argv;
    here();
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        if (argc > 1 && strcmp(file[i], "/proc/kmsg") == 0)
            continue; // reading it takes the messages away from the host's own reader
        int fd = open(file[i], O_RDONLY | O_NONBLOCK);
        if (fd >= 0 && read(fd, bytes, sizeof bytes) > 0)
            return say("got through to %s", file[i]);
        if (fd >= 0)
            close(fd);
        n++;
    }
    return say("nothing to read in %d files", n);
}
