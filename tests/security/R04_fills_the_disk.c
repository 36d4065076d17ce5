// SPDX-License-Identifier: Apache-2.0
// attack: write until the disk is full
// args outside: 1700
// args inside: 200000
// inside: refused ENOSPC after 1[45]\d\d MiB
// where: apart
#include "probe.h"
#include <fcntl.h>

int main(int argc, char **argv)
{
    static char block[1 << 20];
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    int fd = open("filler", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    must(fd >= 0, "make a file");
    memset(block, 1, sizeof block);
    here();
    for (long i = 0; i < mib; i++)
        if (write(fd, block, sizeof block) < 0) {
            int error = errno;
            unlink("filler");
            return say("refused %s after %ld MiB", strerrorname_np(error), i);
        }
    unlink("filler");
    return say("got through");
}
