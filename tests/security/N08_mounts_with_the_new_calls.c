// SPDX-License-Identifier: Apache-2.0
// attack: mount a tmpfs by fsopen and fsmount, which an old filter does not know
// outside: unshare --mount
// inside: refused EPERM
#include "probe.h"
#include <sys/syscall.h>

int main(void)
{
    here();
    return outcome(syscall(SYS_fsopen, "tmpfs", 0));
}
