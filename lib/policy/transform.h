/* SPDX-License-Identifier: Apache-2.0 */
/* transform: headers that are set on the requests of a sandbox to a host (E2B's network.rules), as
 * plain values and pure functions. The values are secret: whoever holds them wipes them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "policy/egress.h"

#define TRANSFORM_HOSTS_MAX   10u
#define TRANSFORM_HOST_MAX    128u   /* bytes of a host as it is written */
#define TRANSFORM_HEADERS_MAX 20u    /* of one host */
#define TRANSFORM_BYTES_MAX   16384u /* names and values of one host */
#define TRANSFORM_NAME_MAX    64u
#define TRANSFORM_VALUE_MAX   2048u
#define TRANSFORM_MAX         200u /* of all hosts */

_Static_assert(TRANSFORM_MAX == TRANSFORM_HOSTS_MAX * TRANSFORM_HEADERS_MAX, "all of all");

/* One header of one host. Fixed layout: it crosses process borders as it is. The headers of a host
 * stand side by side in a list. */
struct transform {
    uint8_t wildcard;                  /* 1: any name below `host`, but not host itself */
    uint8_t name_n;                    /* 1..TRANSFORM_NAME_MAX */
    uint16_t value_n;                  /* 1..TRANSFORM_VALUE_MAX */
    char host[TRANSFORM_HOST_MAX + 4]; /* as egress_name_normalise writes it; NUL-padded */
    char name[TRANSFORM_NAME_MAX];
    char value[TRANSFORM_VALUE_MAX];
};
_Static_assert(sizeof(struct transform) == 4 + 132 + 64 + 2048, "wire size");

/* Reads a host: a name or "*.name". 0 or -EINVAL. */
int transform_host_parse(struct str text, struct transform *out);
/* Host and lengths of one that came over a border; what may be in a header is the codec's. */
bool transform_ok(const struct transform *t);
/* The headers for a (normalised) name, *first of the list and how many: those of the name itself
 * before those of the longest wildcard above it. 0 if there are none. */
size_t transform_find(const struct transform *list, size_t n, const char *name, size_t *first);
