// SPDX-License-Identifier: Apache-2.0
// attack: run a file of root's that has the setuid bit
// outside: setpriv --reuid 65534 --regid 65534 --clear-groups
// control: effective uid 0
// setup: chown 0:0 {probe} && chmod 4755 {probe}
// as: user
// inside: effective uid 1000
#include "probe.h"

int main(void)
{
    here();
    return say("effective uid %d", (int)geteuid());
}
