/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/network_wish: what a client wants of the network (e2b-wire 2.5), checked and turned into a policy. Pure.
 * What this server cannot give is refused by name. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "policy/egress.h"
#include "policy/transform.h"

enum internet_wish { INTERNET_UNSET, INTERNET_ALLOWED, INTERNET_DENIED };

#define NETWORK_TEXT_MAX    131072u
#define NETWORK_SECRETS_MAX (1u << 20)
#define NETWORK_HOST_MAX    255u
#define TRAFFIC_TOKEN_MAX   64u
#define NETWORK_HIDDEN      "***" /* is told in place of a value that is kept secret */

struct network_wish {
    enum internet_wish internet;
    bool asks_for_access; /* something in allowOut or rules: no client sends that unasked */
    bool is_private;      /* allowPublicTraffic false: its ports want trafficAccessToken */
    char mask_host[NETWORK_HOST_MAX + 1]; /* maskRequestHost, or "" */
    /* {"allowOut":[...],"denyOut":[...],...} as it is told and stored, values of rules hidden; owned; NULL if nothing was said */
    char *text;
    struct egress_rule *rule;    /* owned */
    struct egress_policy policy; /* borrows from rule */
    struct transform *transform; /* owned, wiped at the end; NULL if there are none */
    size_t n_transforms;
    char *
        secrets; /* the same rules as JSON with their values, to be stored; owned, wiped; NULL if there are none */
    char traffic_token[TRAFFIC_TOKEN_MAX +
                       1]; /* "" unless is_private; not of the client's making */
};
void network_wish_fini(struct network_wish *w);
#define AUTO_NETWORK_WISH __attribute__((cleanup(network_wish_fini)))

/* `fields` is the object `network` of a create, or the body of an update (NULL: nothing was said); each is named with `prefix` before
 * it in errors, which never hold a value of a rule. An update says nothing of the way in: allowPublicTraffic and maskRequestHost are
 * refused then. 0 with *out initialised, or -EINVAL with *e. */
enum network_for { NETWORK_CREATE, NETWORK_UPDATE };
int network_wish_parse(const json_t *fields, enum network_for what, const char *prefix,
                       enum internet_wish internet, struct network_wish *out, struct err *e);
/* The way in of another wish (mask_host, is_private, its token) becomes w's. 0 or -ENOMEM. */
int network_wish_keep_ingress(struct network_wish *w, const struct network_wish *of);
/* Does it need a network at all? */
bool network_wish_needs_network(const struct network_wish *w);
