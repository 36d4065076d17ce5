// SPDX-License-Identifier: Apache-2.0
// attack: mount proc a second time, where nothing is masked
// outside: unshare --mount
// inside: refused EPERM
#include "probe.h"
#include <sys/mount.h>
#include <sys/stat.h>

int main(void)
{
    char dir[] = "proc-XXXXXX";
    must(mkdtemp(dir) != NULL, "make a directory");
    here();
    int rc = outcome(mount("proc", dir, "proc", 0, NULL));
    umount2(dir, MNT_DETACH);
    rmdir(dir);
    return rc;
}
