// SPDX-License-Identifier: Apache-2.0
// attack: leave a message in a kernel keyring, which no namespace divides
// inside: refused EPERM
#include "probe.h"
#include <linux/keyctl.h>
#include <sys/syscall.h>

int main(void)
{
    here();
    return outcome(syscall(SYS_add_key, "user", "firebreak-probe", "message", 7,
                           KEY_SPEC_PROCESS_KEYRING));
}
