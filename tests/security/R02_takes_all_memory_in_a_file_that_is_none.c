// SPDX-License-Identifier: Apache-2.0
// attack: the same in a memfd, which is in no file system and in no process
// args outside: 640
// args inside: 200000
// inside: killed SIGKILL
// where: apart, small
#include "probe.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
    static char block[1 << 20];
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    int fd = memfd_create("probe", 0);
    must(fd >= 0, "make a memfd");
    memset(block, 1, sizeof block);
    here();
    for (long i = 0; i < mib; i++)
        if (write(fd, block, sizeof block) < 0)
            return outcome(-1);
    return say("got through");
}
