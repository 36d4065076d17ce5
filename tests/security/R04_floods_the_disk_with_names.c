// SPDX-License-Identifier: Apache-2.0
// attack: use up all inodes, each of which costs kernel memory
// outside: unshare --mount sh -c 'mkdir -p many && mount -t tmpfs -o nr_inodes=0 none many && cd many && exec "$@"' sh
// args outside: 450000
// args inside: 3000000
// inside: refused ENOSPC after \d+
// where: apart
#include "probe.h"
#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    char name[32];
    long most = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    must(mkdir("names", 0700) == 0 && chdir("names") == 0, "make a directory");
    here();
    for (long n = 0; n < most; n++) {
        snprintf(name, sizeof name, "%ld", n);
        int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
        if (fd < 0)
            return say("refused %s after %ld", strerrorname_np(errno), n);
        close(fd);
    }
    return say("got through");
}
