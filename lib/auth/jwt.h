/* SPDX-License-Identifier: Apache-2.0 */
/* auth/jwt: bearer tokens, JWS compact (RFC 7515) of the seed's claims (RFC 7519, RFC 8725), and the keys that make and check them
 * as JWK (RFC 7517, 8037). Pure: the caller gives the time.
 *
 * A key has one algorithm, and a token's header must say that one: what a header says never chooses how it is checked. Nothing of a
 * payload is parsed before its signature is right. Refused, besides what is wrong: a header member that is not alg, typ or kid (no
 * jku, jwk, x5u, x5c, crit, b64 or zip); members twice; padding, the other alphabet, stray bits and blanks in base64url; times
 * that are not whole seconds. Claims that are not named here are ignored.
 *
 *   user_id       required, auth_name_ok
 *   iat, exp      required; at most JWT_LIFE_S apart
 *   capabilities  required, an array of strings; unknown ones are ignored, an empty one permits nothing
 *   nbf, jti      optional
 *   iss           must be the key's where the key has one
 *   aud           must have the key's (JWT_AUDIENCE if it has none) if it is there, and be there where the key has one */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "auth/caps.h"
#include "auth/digest.h"
#include "auth/name.h"
#include "base/buf.h"
#include "base/err.h"

#define JWT_MAX      8192 /* bytes of a token */
#define JWT_LIFE_S   3600 /* longest from iat to exp */
#define JWT_LEEWAY_S 30   /* by which clocks may differ */
#define JWT_AUDIENCE "firebreak"

#define JWT_KID_MAX    64u
#define JWT_JTI_MAX    64u
#define JWT_ISSUER_MAX 128u /* of iss and of aud */

#define JWT_SECRET_MIN 32u /* bytes of an HS256 secret (R49) */
#define JWT_SECRET_MAX 256u

enum jwt_alg { JWT_HS256, JWT_EDDSA };
const char *jwt_alg_name(enum jwt_alg alg); /* "HS256", "EdDSA" */

struct jwt_key {
    enum jwt_alg alg;
    char kid[JWT_KID_MAX + 1];
    char iss[JWT_ISSUER_MAX + 1], aud[JWT_ISSUER_MAX + 1]; /* "": not fixed */
    bool can_sign; /* HS256: always; EdDSA: `secret` is the private key */
    uint8_t secret[JWT_SECRET_MAX];
    size_t secret_n;
    uint8_t public_key[32]; /* EdDSA */
};

/* A key of random bytes. */
void jwt_key_make(enum jwt_alg alg, struct jwt_key *out);
/* An HS256 key of a secret as the seed's services share it: its bytes as they are. -EINVAL with *e if it is shorter than
 * JWT_SECRET_MIN, longer than JWT_SECRET_MAX or one of the words that documents use for an example. */
int jwt_key_of_secret(struct str secret, struct jwt_key *out, struct err *e);
/* A JWK: kty oct with k, or kty OKP with crv Ed25519 and x, d or both; alg and kid; iss and aud, which are ours. A missing kid is
 * left "". -EINVAL with *e, which quotes nothing of the key. */
int jwt_key_read(struct str jwk, struct jwt_key *out, struct err *e);
/* Writes that; `with_private` false leaves d out (HS256 has no public half: k is always written). */
void jwt_key_write(const struct jwt_key *k, bool with_private, struct buf *out);

struct jwt {
    char user_id[OWNER_MAX + 1];
    char jti[JWT_JTI_MAX + 1]; /* "" if it has none */
    int64_t iat_s, exp_s;
    struct caps caps;
    struct digest
        id; /* of the jti, or of what is signed where there is none: what a deny-list holds */
    size_t key; /* which of the keys it was */
};

enum jwt_reason {
    JWT_OK,
    JWT_TOO_LONG,
    JWT_BAD_FORM,
    JWT_BAD_HEADER,
    JWT_NO_SUCH_KEY,
    JWT_BAD_SIGNATURE,
    /* From here on the signature is right. */
    JWT_BAD_CLAIMS,
    JWT_LIVES_TOO_LONG,
    JWT_EXPIRED,
    JWT_NOT_YET,
    JWT_WRONG_ISSUER,
    JWT_WRONG_AUDIENCE,
    JWT_REVOKED, /* said by whoever keeps a deny-list */
    JWT_REASONS
};
const char *jwt_reason_text(enum jwt_reason r); /* "it has expired" */

/* *out is written only for JWT_OK. A token without a kid is tried with each key of its algorithm. */
enum jwt_reason jwt_check(struct str token, const struct jwt_key *key, size_t n_keys,
                          int64_t now_s, struct jwt *out);

struct digest jwt_id_of_jti(struct str jti);

/* Appends a token. With a kid in the header unless the key has none, with iss and aud where the key has them. Nothing is checked:
 * jwt_check would refuse a token with a bad user_id. `caps.all` must be false. */
void jwt_sign(const struct jwt_key *k, const struct jwt *t, struct buf *out);
