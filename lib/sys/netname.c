/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netname.h"

#include <stdio.h>

void netname_of(const char *instance, struct netname *out)
{
    out->hash = 2166136261u; /* FNV-1a */
    for (const char *c = instance; *c; c++)
        out->hash = (out->hash ^ (unsigned char)*c) * 16777619u;
    (void)snprintf(out->tag, sizeof out->tag, "%06x", (unsigned)(out->hash & 0xffffff));
    (void)snprintf(out->table, sizeof out->table, "firebreak_%.*s", (int)NETNAME_INSTANCE_MAX,
                   instance);
    for (char *c = out->table; *c; c++)
        if (*c == '-')
            *c = '_';
}
