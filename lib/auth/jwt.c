/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/jwt.h"

#include <errno.h>
#include <string.h>

#include "auth/digest.h"
#include "base/auto.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/ed25519.h"

#define TIME_MAX         (INT64_C(1) << 53)
#define CAPABILITIES_MAX 64u
#define CAPABILITY_MAX   64u
#define AUDIENCES_MAX    16u

const char *jwt_alg_name(enum jwt_alg alg)
{
    return alg == JWT_HS256 ? "HS256" : "EdDSA";
}

const char *jwt_reason_text(enum jwt_reason r)
{
    static const char *const text[JWT_REASONS] = {
        [JWT_OK] = "it is valid",
        [JWT_TOO_LONG] = "it is too long",
        [JWT_BAD_FORM] = "it is not three parts of base64url",
        [JWT_BAD_HEADER] = "its header is not one that this server takes",
        [JWT_NO_SUCH_KEY] = "no key of this server fits its header",
        [JWT_BAD_SIGNATURE] = "its signature is wrong",
        [JWT_BAD_CLAIMS] = "a claim is missing or malformed",
        [JWT_LIVES_TOO_LONG] = "it would live longer than an hour",
        [JWT_EXPIRED] = "it has expired",
        [JWT_NOT_YET] = "it is not valid yet",
        [JWT_WRONG_ISSUER] = "it is from another issuer",
        [JWT_WRONG_AUDIENCE] = "it is for another audience",
        [JWT_REVOKED] = "it has been revoked",
    };
    return text[r];
}

/* --- the form --- */

struct parts {
    struct str header, payload, signature; /* still encoded */
    struct str signed_text;                /* the first two and the dot between */
};

static bool is_base64url(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return s.n > 0;
}

static bool split(struct str token, struct parts *p)
{
    struct str rest;

    if (!str_cut(token, '.', &p->header, &rest) ||
        !str_cut(rest, '.', &p->payload, &p->signature))
        return false;
    p->signed_text = str_sub(token, 0, p->header.n + 1 + p->payload.n);
    return is_base64url(p->header) && is_base64url(p->payload) && is_base64url(p->signature);
}

static bool decode(struct str part, struct buf *out)
{
    return base64_decode(part, out) == 0 && buf_ok(out);
}

/* --- the header --- */

struct header {
    enum jwt_alg alg;
    char kid[JWT_KID_MAX + 1];
};

static struct str text_of(const json_t *j)
{
    return json_is_string(j) ? (struct str){ json_string_value(j), json_string_length(j) }
                             : (struct str){ 0 };
}

static bool read_header(struct str part, struct header *h)
{
    AUTO_BUF struct buf text = BUF_INIT(JWT_MAX);
    struct err ignored;
    const char *name;
    json_t *value;
    bool has_alg = false;

    *h = (struct header){ 0 };
    if (!decode(part, &text))
        return false;
    AUTO_JSON json_t *j = json_parse(buf_str(&text), &ignored);
    if (!json_is_object(j))
        return false;
    json_object_foreach(j, name, value)
    {
        struct str s = text_of(value);
        if (strcmp(name, "alg") == 0) {
            has_alg = str_eq(s, STR("HS256")) || str_eq(s, STR("EdDSA"));
            h->alg = str_eq(s, STR("HS256")) ? JWT_HS256 : JWT_EDDSA;
        } else if (strcmp(name, "typ") == 0) {
            if (!str_eq(s, STR("JWT")))
                return false;
        } else if (strcmp(name, "kid") == 0) {
            if (!auth_name_ok(s, JWT_KID_MAX))
                return false;
            (void)str_copy(s, h->kid, sizeof h->kid); /* fits */
        } else {
            return false;
        }
    }
    return has_alg;
}

/* --- the signature --- */

static bool is_signed_by(const struct jwt_key *k, const struct parts *p,
                         const struct buf *signature)
{
    if (k->alg == JWT_EDDSA)
        return signature->n == ED25519_SIG &&
               ed25519_verify(k->public_key, p->signed_text, (const uint8_t *)signature->p);
    struct digest want =
        digest_hmac((struct str){ (const char *)k->secret, k->secret_n }, p->signed_text);
    return str_eq_secret((struct str){ (const char *)want.byte, sizeof want.byte },
                         buf_str(signature));
}

static enum jwt_reason find_key(const struct parts *p, const struct header *h,
                                const struct jwt_key *key, size_t n_keys, size_t *found)
{
    AUTO_BUF struct buf signature = BUF_INIT(JWT_MAX);
    enum jwt_reason reason = JWT_NO_SUCH_KEY;

    if (!decode(p->signature, &signature))
        return JWT_BAD_FORM;
    for (size_t i = 0; i < n_keys; i++) {
        if (key[i].alg != h->alg || (h->kid[0] && strcmp(key[i].kid, h->kid) != 0))
            continue;
        if (is_signed_by(&key[i], p, &signature)) {
            *found = i;
            return JWT_OK;
        }
        reason = JWT_BAD_SIGNATURE;
    }
    return reason;
}

/* --- the claims. Each: false if what is there is not as it must be; what is absent leaves *out. --- */

static bool read_name(const json_t *j, const char *claim, size_t max, char *out)
{
    const json_t *v = json_object_get(j, claim);

    return !v || (auth_name_ok(text_of(v), max) && str_copy(text_of(v), out, max + 1) == 0);
}

static bool read_time(const json_t *j, const char *claim, int64_t *out)
{
    const json_t *v = json_object_get(j, claim);

    if (!v)
        return true;
    *out = json_integer_value(v);
    return json_is_integer(v) && *out > 0 && *out < TIME_MAX;
}

static bool read_caps(const json_t *j, struct caps *out)
{
    const json_t *list = json_object_get(j, "capabilities"), *v;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > CAPABILITIES_MAX)
        return false;
    json_array_foreach(list, i, v)
    {
        struct str name = text_of(v);
        if (!json_is_string(v) || name.n > CAPABILITY_MAX || caps_add(out, name) < 0)
            return false;
    }
    return true;
}

static enum jwt_reason check_issuer(const json_t *j, const struct jwt_key *k)
{
    const json_t *v = json_object_get(j, "iss");

    if (v && !json_is_string(v))
        return JWT_BAD_CLAIMS;
    return !k->iss[0] || str_eq(text_of(v), str_from(k->iss)) ? JWT_OK : JWT_WRONG_ISSUER;
}

static enum jwt_reason check_audience(const json_t *j, const struct jwt_key *k)
{
    const struct str want = str_from(k->aud[0] ? k->aud : JWT_AUDIENCE);
    const json_t *v = json_object_get(j, "aud"), *one;
    bool is_ours = false;
    size_t i;

    if (!v)
        return k->aud[0] ? JWT_WRONG_AUDIENCE : JWT_OK;
    if (json_is_string(v))
        return str_eq(text_of(v), want) ? JWT_OK : JWT_WRONG_AUDIENCE;
    if (!json_is_array(v) || json_array_size(v) > AUDIENCES_MAX)
        return JWT_BAD_CLAIMS;
    json_array_foreach(v, i, one)
    {
        if (!json_is_string(one))
            return JWT_BAD_CLAIMS;
        is_ours |= str_eq(text_of(one), want);
    }
    return is_ours ? JWT_OK : JWT_WRONG_AUDIENCE;
}

static enum jwt_reason check_times(const json_t *j, const struct jwt *t, int64_t now_s)
{
    int64_t nbf_s = t->iat_s;

    if (!read_time(j, "nbf", &nbf_s) || t->iat_s == 0 || t->exp_s <= t->iat_s)
        return JWT_BAD_CLAIMS;
    if (t->exp_s - t->iat_s > JWT_LIFE_S)
        return JWT_LIVES_TOO_LONG;
    if (now_s >= t->exp_s + JWT_LEEWAY_S)
        return JWT_EXPIRED;
    return t->iat_s > now_s + JWT_LEEWAY_S || nbf_s > now_s + JWT_LEEWAY_S ? JWT_NOT_YET
                                                                           : JWT_OK;
}

static enum jwt_reason read_claims(struct str part, const struct jwt_key *k, int64_t now_s,
                                   struct jwt *t)
{
    AUTO_BUF struct buf text = BUF_INIT(JWT_MAX);
    struct err ignored;

    if (!decode(part, &text))
        return JWT_BAD_FORM;
    AUTO_JSON json_t *j = json_parse(buf_str(&text), &ignored);
    if (!json_is_object(j) || !read_name(j, "user_id", OWNER_MAX, t->user_id) ||
        !t->user_id[0] || !read_name(j, "jti", JWT_JTI_MAX, t->jti) ||
        !read_time(j, "iat", &t->iat_s) || !read_time(j, "exp", &t->exp_s) ||
        !read_caps(j, &t->caps))
        return JWT_BAD_CLAIMS;
    enum jwt_reason r = check_times(j, t, now_s);
    if (r == JWT_OK)
        r = check_issuer(j, k);
    return r == JWT_OK ? check_audience(j, k) : r;
}

struct digest jwt_id_of_jti(struct str jti)
{
    AUTO_BUF struct buf b = BUF_INIT(JWT_JTI_MAX + sizeof "jti ");

    buf_add_cstr(&b, "jti ");
    buf_add_str(&b, jti);
    return digest_of(buf_str(&b));
}

enum jwt_reason jwt_check(struct str token, const struct jwt_key *key, size_t n_keys,
                          int64_t now_s, struct jwt *out)
{
    struct jwt t = { 0 };
    struct header h;
    struct parts p;

    if (token.n > JWT_MAX)
        return JWT_TOO_LONG;
    if (!split(token, &p))
        return JWT_BAD_FORM;
    if (!read_header(p.header, &h))
        return JWT_BAD_HEADER;
    enum jwt_reason r = find_key(&p, &h, key, n_keys, &t.key);
    if (r == JWT_OK)
        r = read_claims(p.payload, &key[t.key], now_s, &t);
    if (r != JWT_OK)
        return r;
    t.id = t.jti[0] ? jwt_id_of_jti(str_from(t.jti)) : digest_of(p.signed_text);
    *out = t;
    return JWT_OK;
}

/* --- making one --- */

static void add_member(struct buf *b, const char *name, const char *value)
{
    if (!value[0])
        return;
    buf_addf(b, ",\"%s\":", name);
    json_write_str(b, str_from(value));
}

void jwt_sign(const struct jwt_key *k, const struct jwt *t, struct buf *out)
{
    AUTO_BUF struct buf text = BUF_INIT(JWT_MAX);
    AUTO_BUF struct buf token = BUF_INIT(JWT_MAX);
    uint8_t signature[ED25519_SIG];

    buf_addf(&text, "{\"alg\":\"%s\",\"typ\":\"JWT\"", jwt_alg_name(k->alg));
    add_member(&text, "kid", k->kid);
    buf_add_char(&text, '}');
    base64url_encode(text.p, text.n, &token);
    buf_add_char(&token, '.');
    buf_clear(&text);
    buf_add_cstr(&text, "{\"user_id\":");
    json_write_str(&text, str_from(t->user_id));
    buf_addf(&text, ",\"exp\":%lld,\"iat\":%lld,\"capabilities\":", (long long)t->exp_s,
             (long long)t->iat_s);
    caps_write_json(&t->caps, &text);
    add_member(&text, "jti", t->jti);
    add_member(&text, "iss", k->iss);
    add_member(&text, "aud", k->aud);
    buf_add_char(&text, '}');
    base64url_encode(text.p, text.n, &token);
    size_t n = sizeof signature;
    if (k->alg == JWT_EDDSA) {
        ed25519_sign(k->secret, buf_str(&token), signature);
    } else {
        struct digest d =
            digest_hmac((struct str){ (const char *)k->secret, k->secret_n }, buf_str(&token));
        n = sizeof d.byte;
        memcpy(signature, d.byte, sizeof d.byte);
    }
    buf_add_char(&token, '.');
    base64url_encode(signature, n, &token);
    if (buf_ok(&token) && buf_ok(&text))
        buf_add_str(out, buf_str(&token));
    else
        out->failed = EMSGSIZE;
}
