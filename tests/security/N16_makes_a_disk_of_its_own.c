// SPDX-License-Identifier: Apache-2.0
// attack: make the device node of the host's disk
// inside: refused EPERM
#include "probe.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(void)
{
    here();
    int rc = outcome(mknod("my-disk", S_IFBLK | 0600, makedev(7, 0)));
    unlink("my-disk");
    return rc;
}
