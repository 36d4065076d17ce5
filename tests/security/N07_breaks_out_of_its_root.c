// SPDX-License-Identifier: Apache-2.0
// attack: chroot, the first step of the classic way out of one
// inside: refused EPERM
#include "probe.h"

int main(void)
{
    here();
    return outcome(chroot("/"));
}
