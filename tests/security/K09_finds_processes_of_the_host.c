// SPDX-License-Identifier: Apache-2.0
// attack: find a process that runs on the host (a canary, whose name is handed over backwards so that this one does not match)
// args outside: {canary_backwards}
// args inside: {canary_backwards}
// inside: refused ESRCH
#include "probe.h"
#include <dirent.h>
#include <fcntl.h>

int main(int argc, char **argv)
{
    char canary[64] = "", path[300], line[4096];
    must(argc == 2 && strlen(argv[1]) < sizeof canary, "know the canary");
    for (size_t i = 0, n = strlen(argv[1]); i < n; i++)
        canary[i] = argv[1][n - 1 - i];
    here();
    DIR *d = opendir("/proc");
    must(d != NULL, "open /proc");
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        ssize_t n = read(fd, line, sizeof line - 1);
        close(fd);
        if (n > 0 && memmem(line, (size_t)n, canary, strlen(canary)))
            return say("got through");
    }
    errno = ESRCH;
    return outcome(-1);
}
