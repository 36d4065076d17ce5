// SPDX-License-Identifier: Apache-2.0
// attack: AF_PACKET
// inside: refused EPERM
#include "probe.h"
#include <sys/socket.h>

int main(void)
{
    here();
    return outcome(socket(AF_PACKET, SOCK_RAW, 0));
}
