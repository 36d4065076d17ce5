// SPDX-License-Identifier: Apache-2.0
// attack: change the host name
// outside: unshare --uts
// inside: refused EPERM
#include "probe.h"

int main(void)
{
    here();
    return outcome(sethostname("taken-over", 10));
}
