/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/registry: what must survive a restart of this program, in SQLite: sandboxes, and what
 * identifies their owners: digests of API keys, keys of tokens, what was revoked.
 *
 * WAL with synchronous=NORMAL: a committed row survives the death of this process by any signal. It may be lost with the
 * machine's power, but then no sandbox it could name has survived either.
 * Threads: safe; one lock around one connection. A call takes some ten microseconds and never waits for anything but the disk. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "auth/caps.h"
#include "auth/denylist.h"
#include "auth/digest.h"
#include "auth/jwt.h"
#include "auth/name.h"
#include "base/err.h"
#include "e2b-sandbox/create_request.h"
#include "ipc/ids.h"

#define REGISTRY_KEYS_MAX  1024u
#define REGISTRY_ENDED_MAX 10000                          /* ended rows that are kept ... */
#define REGISTRY_ENDED_NS  (UINT64_C(86400) * 1000000000) /* ... for so long */
#define SANDBOX_TOKEN_MAX  64u
#define TOLD_MAX           16u

struct registry;

/* What is known about one sandbox from its creation on; a plain value. */
struct sandbox_facts {
    struct sandbox_id id;
    char template[TEMPLATE_NAME_MAX + 1];
    char token[SANDBOX_TOKEN_MAX + 1]; /* envd's access token; "" if the sandbox has none */
    char owner[OWNER_MAX + 1];
    struct caps caps; /* of the credential that made it: nothing else may be done with it */
    struct told {     /* credentials whose holders know the token, the maker's first */
        uint8_t credential[8],
            kid[8]; /* beginnings of digests; kid is zeros for an API key. All zeros: anybody's */
    } told[TOLD_MAX];
    uint32_t n_told;
    uint32_t cpu_count, memory_mb, disk_mb;
};

/* Opens or makes the database file, and brings its schema up to date. */
int registry_open(struct registry **out, const char *path, struct err *e);
void registry_close(struct registry *r);

/* A row in state 'starting'. `metadata` is JSON text. */
int registry_insert(struct registry *r, const struct sandbox_facts *f, const char *metadata,
                    uint64_t now_ns, uint64_t end_ns, struct err *e);
/* The same in state 'running', with the use of its template counted: one transaction. */
int registry_insert_running(struct registry *r, const struct sandbox_facts *f,
                            const char *metadata, uint64_t started_ns, uint64_t end_ns,
                            struct err *e);
int registry_set_running(struct registry *r, const struct sandbox_id *id, uint64_t started_ns,
                         struct err *e);
int registry_set_end(struct registry *r, const struct sandbox_id *id, uint64_t end_ns,
                     struct err *e);
/* Its token and who knows it. */
int registry_set_token(struct registry *r, const struct sandbox_id *id, const char *token,
                       const struct told *told, uint32_t n_told, struct err *e);
/* Its network. Values of rules and the traffic token are in a table of their own, of which nothing is left in any file once the sandbox
 * has ended or the rules are gone. */
int registry_set_network(struct registry *r, const struct sandbox_id *id,
                         const struct network_wish *w, struct err *e);
/* Also forgets the tokens and the network. No error if there is no such row. */
int registry_set_ended(struct registry *r, const struct sandbox_id *id, const char *cause,
                       uint64_t now_ns, struct err *e);
/* Rows 'starting' are of a create that died with this program: they become 'ended' with cause start_failed. Returns how many. */
int registry_end_unfinished(struct registry *r, uint64_t now_ns, struct err *e);

struct registry_row {
    struct sandbox_facts facts;
    uint64_t started_ns, end_ns;
    const char *metadata; /* JSON text, borrowed during the call */
    enum internet_wish internet;
    const char *network;       /* network_wish.text or "", likewise */
    const char *rules;         /* network_wish.secrets or "" */
    const char *traffic_token; /* or "" */
};
/* Calls fn for each row 'running', in no order. fn must not call the registry. */
int registry_each_running(struct registry *r,
                          void (*fn)(const struct registry_row *row, void *arg), void *arg,
                          struct err *e);
/* When and why one ended that is still remembered; -ENOENT otherwise. */
struct registry_end {
    uint64_t at_ns; /* since 1970 */
    char cause[32]; /* a word of enum sandbox_cause */
    char owner[OWNER_MAX + 1];
    struct caps caps;
};
int registry_ended(struct registry *r, struct str id, struct registry_end *out, struct err *e);
/* Forgets ended rows beyond the limits above. */
int registry_prune(struct registry *r, uint64_t now_ns, struct err *e);

/* How often, and when last, an owner started a template. Zeros if never. */
struct template_use {
    uint64_t count, last_ns;
};
int registry_template_use(struct registry *r, const char *owner, const char *template,
                          struct template_use *out, struct err *e);

/* --- who may ask (registry_identity.c). What is stored or revoked here is on the disk, power or not, when a call returns 0. --- */

#define KEY_NAME_MAX   64u
#define KEY_BOOTSTRAP  "bootstrap" /* the name of the key that `up` hands over */
#define TOKENS_MAX     10000       /* issued ones that are remembered */
#define TOKEN_KEYS_MAX 16u

struct key_row {
    struct digest digest; /* SHA-256 of the key's text */
    char name[KEY_NAME_MAX + 1];
    char owner[OWNER_MAX + 1];
    struct caps caps;
    uint64_t created_ns, expires_ns /* 0: never */, revoked_ns /* 0: it was not */;
};
/* Stores the key that the operator's `up` hands over, owned by OWNER_DEFAULT with all capabilities, and forgets the one before it. */
int registry_set_bootstrap_key(struct registry *r, const struct digest *key, uint64_t now_ns,
                               struct err *e);
/* -ENOSPC if there are REGISTRY_KEYS_MAX that are neither revoked nor expired; of the others the oldest makes room. */
int registry_add_key(struct registry *r, const struct key_row *k, uint64_t now_ns,
                     struct err *e);
int registry_revoke_key(struct registry *r, const struct digest *key, uint64_t now_ns,
                        struct err *e);
/* The oldest first. These call fn under the lock: it must not call the registry. A row that this program did not write is skipped. */
int registry_each_key(struct registry *r, void (*fn)(const struct key_row *k, void *arg),
                      void *arg, struct err *e);

int registry_put_token_key(struct registry *r, const struct jwt_key *k, uint64_t now_ns,
                           struct err *e);
int registry_drop_token_key(struct registry *r, const char *kid, struct err *e);
int registry_each_token_key(struct registry *r,
                            void (*fn)(const struct jwt_key *k, uint64_t created_ns, void *arg),
                            void *arg, struct err *e);

/* A token that was issued and shown to us. Those that have expired, and the oldest above TOKENS_MAX, are forgotten. */
int registry_add_token(struct registry *r, const struct jwt *t, const char *kid, int64_t now_s,
                       struct err *e);
int registry_each_token(struct registry *r,
                        void (*fn)(const struct jwt *t, const char *kid, void *arg), void *arg,
                        struct err *e);

int registry_deny(struct registry *r, const struct denied *d, int64_t now_s, struct err *e);
int registry_each_denied(struct registry *r, int64_t now_s,
                         void (*fn)(const struct denied *d, void *arg), void *arg,
                         struct err *e);
