// SPDX-License-Identifier: Apache-2.0
// attack: AF_ALG, a large old piece of kernel to make mistakes in (a kernel may be built without it: EAFNOSUPPORT outside)
// control: got through|refused EAFNOSUPPORT
// inside: refused EPERM
#include "probe.h"
#include <sys/socket.h>

int main(void)
{
    here();
    return outcome(socket(AF_ALG, SOCK_SEQPACKET, 0));
}
