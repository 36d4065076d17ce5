// SPDX-License-Identifier: Apache-2.0
// attack: walk out through the root of process 1, or of any other, and find a file of the host that is not in the image
// args outside: {host_file}
// args inside: {host_file}
// inside: refused ENOENT
#include "probe.h"
#include <dirent.h>
#include <fcntl.h>

int main(int argc, char **argv)
{
    char path[600];
    must(argc == 2, "know the file");
    here();
    DIR *d = opendir("/proc");
    must(d != NULL, "open /proc");
    for (struct dirent *e; (e = readdir(d));) {
        static const char *const way[] = { "root", "cwd", "root/../..",
                                           "cwd/../../../../../.." };
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        for (int i = 0; i < 4; i++) {
            snprintf(path, sizeof path, "/proc/%s/%s/%s", e->d_name, way[i], argv[1]);
            if (open(path, O_RDONLY) >= 0)
                return say("got through");
        }
    }
    return outcome(open(argv[1], O_RDONLY));
}
