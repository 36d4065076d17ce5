// SPDX-License-Identifier: Apache-2.0
// attack: AF_VSOCK, which no network namespace divides
// control: got through|refused EAFNOSUPPORT
// inside: refused EPERM
#include "probe.h"
#include <sys/socket.h>

int main(void)
{
    here();
    return outcome(socket(AF_VSOCK, SOCK_STREAM, 0));
}
