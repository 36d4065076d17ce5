/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/netd_proto.h"

const char *netd_why_text(enum netd_why why)
{
    static const char *const text[NETD_WHY_MAX] = {
        [NETD_WHY_SPOOFED] = "spoofed", [NETD_WHY_IPV6] = "ipv6",
        [NETD_WHY_SPECIAL] = "special", [NETD_WHY_HOST] = "host",
        [NETD_WHY_SANDBOX] = "sandbox", [NETD_WHY_PROTOCOL] = "protocol",
        [NETD_WHY_POLICY] = "policy",   [NETD_WHY_LIMIT] = "limit",
        [NETD_WHY_DOWN] = "down",       [NETD_WHY_NAME] = "name",
        [NETD_WHY_QTYPE] = "qtype",     [NETD_WHY_RATE] = "rate",
        [NETD_WHY_REBIND] = "rebind",   [NETD_WHY_SNI] = "sni",
        [NETD_WHY_REQUEST] = "request", [NETD_WHY_UPSTREAM] = "upstream",
    };
    return (unsigned)why < NETD_WHY_MAX ? text[why] : "unknown";
}
