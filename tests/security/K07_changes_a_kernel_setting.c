// SPDX-License-Identifier: Apache-2.0
// attack: find one file below /proc/sys, /sys, /proc/irq, /proc/fs or /proc/bus that opens for writing (all are tried)
// args outside: /proc/sys
// args inside: /proc/sys /sys /proc/irq /proc/fs /proc/bus
// control: got through to \d{3,} of .*
// inside: refused (EROFS|EACCES|EPERM) for each of \d{3,} files
#include "probe.h"
#include <fcntl.h>
#include <ftw.h>

static int tried, opened, odd;
static char first[256];

static int one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)at;
    if (type != FTW_F)
        return 0;
    tried++;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd >= 0) {
        if (opened++ == 0)
            snprintf(first, sizeof first, "%s", path);
        close(fd);
    } else if (errno != EROFS && errno != EACCES && errno != EPERM) {
        odd++;
        say("%s: %s", path, strerrorname_np(errno));
    }
    return 0;
}

int main(int argc, char **argv)
{
    here();
    for (int i = 1; i < argc; i++)
        nftw(argv[i], one, 32, FTW_PHYS);
    if (opened)
        return say("got through to %d of %d files, first %s", opened, tried, first);
    return odd ? say("%d odd answers", odd) : say("refused EROFS for each of %d files", tried);
}
