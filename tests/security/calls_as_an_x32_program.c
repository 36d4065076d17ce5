// SPDX-License-Identifier: Apache-2.0
// attack: call with the x32 bit in the number, past an equality check of the filter (this kernel may have no x32: then outside it is ENOSYS)
// control: got through|refused ENOSYS
// inside: killed SIGSYS
#include "probe.h"
#include <sys/syscall.h>

int main(void)
{
    here();
    return outcome(syscall(0x40000000 | SYS_getpid));
}
