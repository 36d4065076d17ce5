// SPDX-License-Identifier: Apache-2.0
// attack: AF_VSOCK, which no network namespace divides
// control: got through|refused EAFNOSUPPORT
// inside: refused EPERM
#include <sys/socket.h>
#include "probe.h"

int main(void)
{
    here();
    return outcome(socket(AF_VSOCK, SOCK_STREAM, 0));
}
