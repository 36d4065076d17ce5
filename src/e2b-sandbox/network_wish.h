/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/network_wish: what a client wants of the network (e2b-wire 2.5), checked and turned into a policy. Pure.
 * What this server cannot give is refused by name. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "policy/egress.h"

enum internet_wish { INTERNET_UNSET, INTERNET_ALLOWED, INTERNET_DENIED };

#define NETWORK_TEXT_MAX 131072u

struct network_wish {
    enum internet_wish internet;
    bool asks_for_access; /* something in allowOut: no client sends that unasked */
    char *
        text; /* {"allowOut":[...],"denyOut":[...]} as it is told and stored, owned; NULL if nothing was said */
    struct egress_rule *rule;    /* owned */
    struct egress_policy policy; /* borrows from rule */
};
void network_wish_fini(struct network_wish *w);
#define AUTO_NETWORK_WISH __attribute__((cleanup(network_wish_fini)))

/* `fields` has allowOut and denyOut (the object `network` of a create, or the body of an update; NULL: nothing was said), each named
 * with `prefix` before it in errors. 0 with *out initialised, or -EINVAL with *e. */
int network_wish_parse(const json_t *fields, const char *prefix, enum internet_wish internet,
                       struct network_wish *out, struct err *e);
/* Does it need a network at all? */
bool network_wish_needs_network(const struct network_wish *w);
