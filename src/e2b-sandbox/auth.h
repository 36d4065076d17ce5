/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/auth: who asks. Credentials are API keys (right if the SHA-256 of what was sent equals one that is stored; all are
 * compared, in constant time) and JWT bearer tokens (auth/jwt.h). They live here in memory and in the registry on disk, which is
 * written first. Failures are limited per source (auth/throttle.h): a right credential is never refused, however many wrong ones
 * its neighbours send. Threads: safe. */
#pragma once
#include <stdint.h>

#include "base/err.h"
#include "codec/http1.h"
#include "e2b-sandbox/registry.h"

#define AUTH_KEY_TEXT 44u /* "e2b_" and 40 hexadecimal digits */
#define AUTH_KEY_ID   12u /* hexadecimal digits of a key's digest by which people name it */

struct auth;

/* Loads what is stored. */
int auth_new(struct auth **out, struct registry *r, uint64_t real_ns, struct err *e);
void auth_free(struct auth *a);
size_t auth_key_count(struct auth *a); /* of keys that open at real_ns 0: not revoked */

/* Who asks. A plain value. */
struct principal {
    char owner[OWNER_MAX + 1];
    struct caps caps;
    bool is_token;
    struct digest credential;  /* a key's digest or a token's id */
    char kid[JWT_KID_MAX + 1]; /* of a token */
    int64_t issued_s;          /* likewise */
};
/* May it see this sandbox at all? Its owner's, with nothing that the credential has not. */
bool auth_may_see(const struct principal *p, const char *owner, const struct caps *caps);

struct auth_time {
    uint64_t mono_ns, real_ns;
};

enum auth_verdict { AUTH_OK, AUTH_MISSING, AUTH_WRONG, AUTH_THROTTLED };

/* Judges X-API-Key; if that is absent, X-E2B-API-Key; if that is, too, "Authorization: Bearer". A key or a token may stand in each.
 * *who is written for AUTH_OK; *why, a sentence for the answer, for AUTH_MISSING and AUTH_WRONG. `peer` as http_peer gives it. */
enum auth_verdict auth_check(struct auth *a, const struct http1_head *head, const char *peer,
                             struct auth_time now, struct principal *who, const char **why);
/* Has the credential of somebody who was let in been revoked since? */
bool auth_is_revoked(struct auth *a, const struct principal *who);
/* The judgement alone, for whoever holds a token in another way. *out is written for JWT_REVOKED, too. */
enum jwt_reason auth_check_token(struct auth *a, struct str token, uint64_t real_ns,
                                 struct jwt *out, char kid[JWT_KID_MAX + 1]);

/* --- what operators do. -errno with *e: ENOENT, EEXIST, ENOSPC, EIO. --- */

void auth_key_id(const struct digest *key, char out[AUTH_KEY_ID + 1]);

/* Makes a key; `k` has name, owner, caps and expires_ns. Its text is told here and never again: the caller wipes it. */
int auth_issue_key(struct auth *a, struct key_row *k, uint64_t real_ns,
                   char text[AUTH_KEY_TEXT + 1], struct err *e);
/* *out: the key that does not open any more. The one of KEY_BOOTSTRAP cannot be revoked (-EPERM): `up` would bring it back. */
int auth_revoke_key(struct auth *a, struct str id, uint64_t real_ns, struct key_row *out,
                    struct err *e);

/* A key that has no kid gets one. */
int auth_add_token_key(struct auth *a, struct jwt_key *k, uint64_t real_ns, struct err *e);
int auth_remove_token_key(struct auth *a, const char *kid, struct err *e);

/* Denies the token of that id; `until_s` is when it expires. */
int auth_deny_token(struct auth *a, const struct digest *id, int64_t until_s, uint64_t real_ns,
                    struct err *e);
/* Denies all tokens of a user that were issued up to now, by an issuer whose clock may be JWT_LEEWAY_S ahead: what is issued in
 * the next seconds is denied, too. */
int auth_deny_user(struct auth *a, const char *user_id, uint64_t real_ns, struct err *e);
