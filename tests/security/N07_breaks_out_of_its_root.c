// SPDX-License-Identifier: Apache-2.0
// attack: the classic way out of a root: keep a directory, change the root to below it, walk up from the kept one
// outside: unshare --mount
// args outside: {host_file}
// args inside: {host_file}
// control: got through to the host's file
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    must(argc == 2, "know the file");
    must(mkdir("below", 0700) == 0 || errno == EEXIST, "make a directory");
    int kept = open(".", O_RDONLY | O_DIRECTORY);
    must(kept >= 0, "keep a directory");
    here();
    if (chroot("below") < 0)
        return outcome(-1);
    must(fchdir(kept) == 0, "go back to it");
    for (int i = 0; i < 64; i++)
        must(chdir("..") == 0, "walk up");
    must(chroot(".") == 0, "take that as the root");
    return access(argv[1], R_OK) == 0 ? say("got through to the host's file") : outcome(-1);
}
