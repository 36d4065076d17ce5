// SPDX-License-Identifier: Apache-2.0
// attack: become root of an own user namespace, with every capability there
// inside: refused EPERM
#include "probe.h"
#include <sched.h>

int main(void)
{
    here();
    return outcome(unshare(CLONE_NEWUSER));
}
