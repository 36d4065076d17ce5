// SPDX-License-Identifier: Apache-2.0
// attack: read in proc which servers, sockets, interfaces and mounts the host has
// args outside: {listener_port} {run_dir}
// args inside: {listener_port} {run_dir}
// control: got through to .*
// inside: nothing of the host in 9 files
#include "probe.h"
#include <ctype.h>

int main(int argc, char **argv)
{
    static const char *const file[] = { "/proc/net/tcp",   "/proc/net/tcp6",
                                        "/proc/net/udp",   "/proc/net/unix",
                                        "/proc/net/route", "/proc/net/arp",
                                        "/proc/net/dev",   "/proc/self/mounts",
                                        "/proc/partitions" };
    static char line[8192];
    char port[16];
    int n = 0;
    must(argc == 3, "know what to look for");
    snprintf(port, sizeof port, ":%04lX ", strtol(argv[1], NULL, 10));
    here();
    for (size_t i = 0; i < sizeof file / sizeof *file; i++, n++) {
        FILE *f = fopen(file[i], "r");
        while (f && fgets(line, sizeof line, f)) {
            int is_other_interface = i == 6 && strchr(line, ':') && !strstr(line, "lo:");
            if (strstr(line, port) || strstr(line, argv[2]) || is_other_interface ||
                (i == 4 && strstr(line, "00000000\t")) || (i == 7 && strstr(line, "/dev/sd")))
                return say("got through to %s: %.40s", file[i], line);
        }
        if (f)
            fclose(f);
    }
    return say("nothing of the host in %d files", n);
}
