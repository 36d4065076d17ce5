// SPDX-License-Identifier: Apache-2.0
// attack: read another process's memory by process_vm_readv
// inside: refused EPERM
#include "probe.h"
#include <sys/uio.h>

int main(void)
{
    char from[8] = "secret", to[8] = "";
    struct iovec local = { to, sizeof to }, remote = { from, sizeof from };
    here();
    return outcome(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}
