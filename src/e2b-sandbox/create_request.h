/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/create_request: the body of POST /sandboxes and POST /v2/sandboxes (e2b-wire 2.5), checked. Pure.
 * What this server cannot give is refused by name: a client that asked for a network rule must not believe that it has one.
 * Unknown fields are ignored. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "e2b-sandbox/network_wish.h"
#include "store/template.h"

#define METADATA_PAIRS_MAX 64u
#define METADATA_BYTES_MAX 4096u  /* of one key or value */
#define METADATA_TOTAL_MAX 65536u /* bytes of all keys and values */
#define ENV_PAIRS_MAX      1024u
#define ENV_BYTES_MAX      65536u
#define TEMPLATE_REF_MAX   192u

/* A template as clients name it: [namespace/]name[:tag], lower-cased. There is one tenant, so any namespace is ours. */
struct template_ref {
    char text[TEMPLATE_REF_MAX + 1]; /* as asked for, lower-cased */
    char name[TEMPLATE_NAME_MAX + 1];
    bool has_known_tag; /* none, or "default" or "latest": templates here have no others */
};
/* -EINVAL if it does not have that form. */
int template_ref_parse(struct str text, struct template_ref *out);

struct create_request {
    json_t *body; /* owned; what follows borrows from it */
    struct template_ref template;
    uint32_t timeout_s;
    bool secure;                 /* envd gets an access token */
    struct network_wish network; /* owned */
    json_t *metadata;            /* NULL if not given */
    json_t *env;                 /* NULL if not given */
};
void create_request_fini(struct create_request *r);
#define AUTO_CREATE_REQUEST __attribute__((cleanup(create_request_fini)))

enum create_version { CREATE_V1, CREATE_V2 };

/* 0 with *out initialised, or -EINVAL with *e naming the field. */
int create_request_parse(struct str body, enum create_version version, uint32_t max_timeout_s,
                         struct create_request *out, struct err *e);

/* Parses a body that must be a JSON object; an empty one counts as {} if `may_be_empty`. NULL with *e. Returns owned. */
json_t *body_parse(struct str body, bool may_be_empty, struct err *e);
