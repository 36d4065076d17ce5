// SPDX-License-Identifier: Apache-2.0
// attack: a netlink socket to nf_tables, where most local root holes of the last years were
// inside: refused EPERM
#include "probe.h"
#include <linux/netlink.h>
#include <sys/socket.h>

int main(void)
{
    here();
    return outcome(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
}
