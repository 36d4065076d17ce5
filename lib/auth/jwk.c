/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "auth/jwt.h"
#include "base/auto.h"
#include "base/rand.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/ed25519.h"

#define ENCODED_MAX ((size_t)2 * JWT_SECRET_MAX) /* bytes of a secret in base64url, and more */

void jwt_key_make(enum jwt_alg alg, struct jwt_key *out)
{
    *out = (struct jwt_key){ .alg = alg, .can_sign = true, .secret_n = 32 };
    rand_bytes(out->secret, out->secret_n);
    if (alg == JWT_EDDSA)
        ed25519_public(out->secret, out->public_key);
}

static bool is_placeholder(struct str s)
{
    static const char *const word[] = { "change-me", "changeme", "change_me", "your_",
                                        "your-",     "example",  "secret",    "password" };

    for (size_t i = 0; i < ARRAY_LEN(word); i++) {
        struct str w = str_from(word[i]);
        if (s.n >= w.n && str_eq_nocase(str_sub(s, 0, w.n), w))
            return true;
    }
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] != s.p[0])
            return false;
    return true; /* one letter over and over */
}

int jwt_key_of_secret(struct str secret, struct jwt_key *out, struct err *e)
{
    if (secret.n < JWT_SECRET_MIN || secret.n > JWT_SECRET_MAX)
        return err_say(e, EINVAL, "a secret for HS256 must have %u to %u bytes", JWT_SECRET_MIN,
                       JWT_SECRET_MAX);
    if (is_placeholder(secret))
        return err_say(e, EINVAL,
                       "the secret is a placeholder: make one with 'openssl rand "
                       "-hex 32'");
    *out = (struct jwt_key){ .alg = JWT_HS256, .can_sign = true, .secret_n = secret.n };
    memcpy(out->secret, secret.p, secret.n);
    return 0;
}

/* --- reading --- */

/* 1: there; 0: absent; -EINVAL. */
static int read_bytes(const json_t *j, const char *field, struct buf *out, struct err *e)
{
    const char *text = NULL;
    int rc = json_get_str(j, field, ENCODED_MAX, &text, e);

    if (rc == 1 && (strpbrk(text, "+/=") || base64_decode(str_from(text), out) < 0 ||
                    !buf_ok(out) || out->n == 0))
        return err_say(e, EINVAL, "field '%s' must be base64url", field);
    return rc;
}

static int read_secret(const json_t *j, struct jwt_key *k, struct err *e)
{
    AUTO_BUF struct buf b = BUF_INIT(ENCODED_MAX);
    struct jwt_key made = { 0 };
    int rc = read_bytes(j, "k", &b, e);

    if (rc == 0)
        rc = err_say(e, EINVAL, "field 'k' is missing");
    if (rc == 1)
        rc = jwt_key_of_secret(buf_str(&b), &made, e);
    if (rc == 0) {
        memcpy(k->secret, made.secret, sizeof k->secret);
        k->secret_n = made.secret_n;
        k->can_sign = true;
    }
    explicit_bzero(&made, sizeof made);
    if (b.p)
        explicit_bzero(b.p, b.n);
    return rc;
}

static int read_pair(const json_t *j, struct jwt_key *k, struct err *e)
{
    AUTO_BUF struct buf d = BUF_INIT(ENCODED_MAX);
    AUTO_BUF struct buf x = BUF_INIT(ENCODED_MAX);
    int has_d = read_bytes(j, "d", &d, e);
    int has_x = has_d < 0 ? -EINVAL : read_bytes(j, "x", &x, e);

    if (has_x < 0)
        return -EINVAL;
    if ((has_d && d.n != ED25519_KEY) || (has_x && x.n != ED25519_KEY) || (!has_d && !has_x))
        return err_say(e, EINVAL, "an Ed25519 key has 32 bytes, in x or d");
    if (has_d) {
        memcpy(k->secret, d.p, ED25519_KEY);
        k->secret_n = ED25519_KEY;
        k->can_sign = true;
        ed25519_public(k->secret, k->public_key);
        explicit_bzero(d.p, d.n);
    }
    if (has_x && has_d && memcmp(k->public_key, x.p, ED25519_KEY) != 0)
        return err_say(e, EINVAL, "fields 'x' and 'd' are of two keys");
    if (has_x)
        memcpy(k->public_key, x.p, ED25519_KEY);
    return 0;
}

/* An optional text of printable ASCII without blanks. */
static int read_text(const json_t *j, const char *field, char *out, size_t max, struct err *e)
{
    const char *text = NULL;
    int rc = json_get_str(j, field, max, &text, e);

    if (rc <= 0)
        return rc;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            return err_say(e, EINVAL, "field '%s' must be printable ASCII without blanks",
                           field);
    return str_copy(str_from(text), out, max + 1);
}

static int read_names(const json_t *j, struct jwt_key *k, struct err *e)
{
    const char *kid = NULL;
    int rc = json_get_str(j, "kid", JWT_KID_MAX, &kid, e);

    if (rc == 1 && !auth_name_ok(str_from(kid), JWT_KID_MAX))
        rc = err_say(e, EINVAL, "field 'kid' must be letters, digits and ._:-");
    if (rc == 1)
        rc = str_copy(str_from(kid), k->kid, sizeof k->kid);
    if (rc == 0)
        rc = read_text(j, "iss", k->iss, JWT_ISSUER_MAX, e);
    return rc == 0 ? read_text(j, "aud", k->aud, JWT_ISSUER_MAX, e) : rc;
}

/* Which kind of key is it? All three words must agree: alg is not taken from elsewhere. */
static int read_kind(const json_t *j, struct jwt_key *k, struct err *e)
{
    const char *kty = "", *alg = "", *crv = "";

    if (json_get_str(j, "kty", 16, &kty, e) < 0 || json_get_str(j, "alg", 16, &alg, e) < 0 ||
        json_get_str(j, "crv", 16, &crv, e) < 0)
        return -EINVAL;
    if (strcmp(kty, "oct") == 0 && strcmp(alg, "HS256") == 0 && !*crv)
        k->alg = JWT_HS256;
    else if (strcmp(kty, "OKP") == 0 && strcmp(alg, "EdDSA") == 0 &&
             strcmp(crv, "Ed25519") == 0)
        k->alg = JWT_EDDSA;
    else
        return err_say(e, EINVAL,
                       "a key is kty oct with alg HS256, or kty OKP with alg EdDSA and crv "
                       "Ed25519");
    return 0;
}

int jwt_key_read(struct str jwk, struct jwt_key *out, struct err *e)
{
    struct jwt_key k = { 0 };
    AUTO_JSON json_t *j = json_parse(jwk, e);

    if (!j || !json_is_object(j))
        return err_say(e, EINVAL, "a key must be a JSON object (JWK)");
    int rc = read_kind(j, &k, e);
    if (rc == 0)
        rc = read_names(j, &k, e);
    if (rc == 0)
        rc = k.alg == JWT_HS256 ? read_secret(j, &k, e) : read_pair(j, &k, e);
    if (rc == 0)
        *out = k;
    explicit_bzero(&k, sizeof k);
    return rc;
}

/* --- writing --- */

static void add_bytes(struct buf *out, const char *field, const uint8_t *p, size_t n)
{
    AUTO_BUF struct buf b = BUF_INIT(ENCODED_MAX);

    base64url_encode(p, n, &b);
    buf_addf(out, ",\"%s\":\"%s\"", field, buf_cstr(&b));
    if (b.p)
        explicit_bzero(b.p, b.n);
}

static void add_text(struct buf *out, const char *field, const char *value)
{
    if (!value[0])
        return;
    buf_addf(out, ",\"%s\":", field);
    json_write_str(out, str_from(value));
}

void jwt_key_write(const struct jwt_key *k, bool with_private, struct buf *out)
{
    if (k->alg == JWT_HS256) {
        buf_add_cstr(out, "{\"kty\":\"oct\",\"alg\":\"HS256\"");
        add_bytes(out, "k", k->secret, k->secret_n);
    } else {
        buf_add_cstr(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\"");
        add_bytes(out, "x", k->public_key, sizeof k->public_key);
        if (with_private && k->can_sign)
            add_bytes(out, "d", k->secret, k->secret_n);
    }
    add_text(out, "kid", k->kid);
    add_text(out, "iss", k->iss);
    add_text(out, "aud", k->aud);
    buf_add_char(out, '}');
}
