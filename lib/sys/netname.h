/* SPDX-License-Identifier: Apache-2.0 */
/* netname: the names under which an instance's network is in the kernel. netd gives them, and who checks it looks for them. */
#pragma once
#include <stdint.h>

#define NETNAME_TAG_N        6u  /* hexadecimal digits */
#define NETNAME_INSTANCE_MAX 32u /* characters of a-z, 0-9 and - */
#define NETNAME_PREFIX       "fb" /* of every instance's interfaces: they know each other's by it */

struct netname {
    uint32_t hash;               /* of the instance's name */
    char tag[NETNAME_TAG_N + 1]; /* of its interfaces: fbTAG.NUMBER */
    char table[sizeof "firebreak_" + NETNAME_INSTANCE_MAX]; /* of family inet */
};

/* Pure. A name that is too long is cut. */
void netname_of(const char *instance, struct netname *out);
