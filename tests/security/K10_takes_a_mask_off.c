// SPDX-License-Identifier: Apache-2.0
// attack: unmount what lies over the dangerous parts of proc
// outside: unshare --mount
// inside: refused EPERM
#include "probe.h"
#include <sys/mount.h>

int main(void)
{
    here();
    return outcome(umount2("/proc", MNT_DETACH));
}
