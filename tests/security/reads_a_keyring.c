// SPDX-License-Identifier: Apache-2.0
// attack: find the keyrings of others
// inside: refused EPERM
#include "probe.h"
#include <linux/keyctl.h>
#include <sys/syscall.h>

int main(void)
{
    here();
    return outcome(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}
