// SPDX-License-Identifier: Apache-2.0
// attack: a raw socket, to forge any packet
// inside: refused EPERM
#include "probe.h"
#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
    here();
    return outcome(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
