// SPDX-License-Identifier: Apache-2.0
// attack: AF_PACKET
// inside: refused EPERM
#include <sys/socket.h>
#include "probe.h"

int main(void)
{
    here();
    return outcome(socket(AF_PACKET, SOCK_RAW, 0));
}
