/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that must be taken and tokens that must not, and why. T is the time in every row: iat is T, exp is T + 3600. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/digest.h"
#include "auth/jwt.h"
#include "base/auto.h"
#include "codec/base64.h"
#include "crypto/ed25519.h"

#define T INT64_C(1767009600)

static const char secret_text[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/* RFC 8037, appendix A.1. */
static const char rfc8037_jwk[] =
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"kid\":\"ed\","
    "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";

enum { HS, ED, OTHER_HS, FIXED, KEYS }; /* FIXED has an issuer and an audience */
static struct jwt_key key[KEYS];

static int make_keys(void **state)
{
    struct err e;

    (void)state;
    if (jwt_key_of_secret(STR(secret_text), &key[HS], &e) < 0 ||
        jwt_key_read(STR(rfc8037_jwk), &key[ED], &e) < 0)
        return -1;
    (void)snprintf(key[HS].kid, sizeof key[HS].kid, "hs");
    jwt_key_make(JWT_HS256, &key[OTHER_HS]);
    (void)snprintf(key[OTHER_HS].kid, sizeof key[OTHER_HS].kid, "other");
    jwt_key_make(JWT_EDDSA, &key[FIXED]);
    (void)snprintf(key[FIXED].kid, sizeof key[FIXED].kid, "fixed");
    (void)snprintf(key[FIXED].iss, sizeof key[FIXED].iss, "https://issuer");
    (void)snprintf(key[FIXED].aud, sizeof key[FIXED].aud, "here");
    return 0;
}

/* --- tokens of any bytes --- */

/* By whom, and how. */
enum how {
    BY_HS,
    BY_ED,
    BY_OTHER,
    BY_FIXED,
    BY_PUBLIC_KEY_AS_SECRET, /* HMAC with the bytes of the Ed25519 public key */
    BY_EMPTY_SECRET,
    BY_NOBODY,    /* an empty signature */
    BY_PLAIN_HASH /* SHA-256(secret || text), which is no HMAC */
};

static void add_signature(enum how how, struct buf *token)
{
    uint8_t ed[ED25519_SIG];
    struct digest d = { 0 };
    struct str text = buf_str(token), out = { (const char *)d.byte, sizeof d.byte };
    char glued[16384];

    switch (how) {
    case BY_HS:
    case BY_OTHER: {
        const struct jwt_key *k = how == BY_HS ? &key[HS] : &key[OTHER_HS];
        d = digest_hmac((struct str){ (const char *)k->secret, k->secret_n }, text);
        break;
    }
    case BY_ED:
    case BY_FIXED:
        ed25519_sign(key[how == BY_ED ? ED : FIXED].secret, text, ed);
        out = (struct str){ (const char *)ed, sizeof ed };
        break;
    case BY_PUBLIC_KEY_AS_SECRET:
        d = digest_hmac((struct str){ (const char *)key[ED].public_key, 32 }, text);
        break;
    case BY_EMPTY_SECRET:
        d = digest_hmac(STR(""), text);
        break;
    case BY_NOBODY:
        return;
    case BY_PLAIN_HASH: {
        int n = snprintf(glued, sizeof glued, "%s%.*s", secret_text, (int)text.n, text.p);
        d = digest_of((struct str){ glued, (size_t)n });
        break;
    }
    }
    AUTO_BUF struct buf encoded = BUF_INIT(256);
    base64url_encode(out.p, out.n, &encoded);
    buf_add_str(token, buf_str(&encoded));
}

static void make_token(const char *header, const char *payload, enum how how, struct buf *out)
{
    AUTO_BUF struct buf signature = BUF_INIT(65536);

    base64url_encode(header, strlen(header), out);
    buf_add_char(out, '.');
    base64url_encode(payload, strlen(payload), out);
    buf_add_str(&signature, buf_str(out));
    size_t n = signature.n;
    add_signature(how, &signature);
    buf_add_char(out, '.');
    buf_add(out, signature.p + n, signature.n - n);
}

#define HS_HEADER           "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define ED_HEADER           "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"ed\"}"
#define FIXED_HEADER        "{\"alg\":\"EdDSA\",\"kid\":\"fixed\"}"
#define CAPS                "\"capabilities\":[\"execute:python\",\"execute:javascript\"]"
#define USER                "\"user_id\":\"user-123\""
#define TIMES               "\"exp\":1767013200,\"iat\":1767009600"
#define GOOD                "{" USER "," TIMES "," CAPS "}"
#define WITH(more)          "{" USER "," TIMES "," CAPS "," more "}"
#define USER_IS(id)         "{\"user_id\":" id "," TIMES "," CAPS "}"
#define TIMES_ARE(exp, iat) "{" USER ",\"exp\":" exp ",\"iat\":" iat "," CAPS "}"
#define CAPS_ARE(list)      "{" USER "," TIMES ",\"capabilities\":" list "}"
#define X50                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct row {
    const char *header, *payload;
    enum how how;
    int64_t now_s;
    enum jwt_reason want;
} rows[] = {
    /* What the seed makes, and what a careful issuer makes. */
    { HS_HEADER, GOOD, BY_HS, T, JWT_OK },
    { ED_HEADER, GOOD, BY_ED, T, JWT_OK },
    { "{\"alg\":\"HS256\"}", GOOD, BY_HS, T, JWT_OK },
    { "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", GOOD, BY_HS, T, JWT_OK },
    { " { \"alg\" : \"HS256\" } ", GOOD, BY_HS, T, JWT_OK },
    { "{\"alg\":\"HS256\",\"kid\":\"hs\"}", GOOD, BY_HS, T, JWT_OK },
    { "{\"alg\":\"EdDSA\"}", GOOD, BY_ED, T, JWT_OK },
    { HS_HEADER, GOOD, BY_OTHER, T, JWT_OK }, /* no kid: each key of the algorithm */
    { "{\"alg\":\"HS256\",\"kid\":\"other\"}", GOOD, BY_OTHER, T, JWT_OK },
    { HS_HEADER, WITH("\"jti\":\"a-1\",\"nbf\":1767009600"), BY_HS, T, JWT_OK },
    { HS_HEADER, WITH("\"sub\":7,\"scope\":{\"x\":[null]}"), BY_HS, T, JWT_OK },

    /* Algorithms: none, and one in place of another. */
    { "{\"alg\":\"none\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"None\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"nOnE\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"none\"}", GOOD, BY_NOBODY, T, JWT_BAD_FORM },
    { "{}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"typ\":\"JWT\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":null}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":[\"HS256\"]}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":{\"HS256\":1}}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":1}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":true}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"hs256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256 \"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS512\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS384\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"RS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"ES256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"PS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"Ed25519\"}", GOOD, BY_ED, T, JWT_BAD_HEADER },
    { "{\"alg\":\"dir\",\"enc\":\"A256GCM\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { HS_HEADER, GOOD, BY_PUBLIC_KEY_AS_SECRET, T, JWT_BAD_SIGNATURE },
    { "{\"alg\":\"HS256\",\"kid\":\"ed\"}", GOOD, BY_PUBLIC_KEY_AS_SECRET, T, JWT_NO_SUCH_KEY },
    { "{\"alg\":\"EdDSA\",\"kid\":\"hs\"}", GOOD, BY_HS, T, JWT_NO_SUCH_KEY },
    { "{\"alg\":\"EdDSA\",\"kid\":\"hs\"}", GOOD, BY_ED, T, JWT_NO_SUCH_KEY },
    { HS_HEADER, GOOD, BY_ED, T, JWT_BAD_SIGNATURE },
    { ED_HEADER, GOOD, BY_HS, T, JWT_BAD_SIGNATURE },
    { ED_HEADER, GOOD, BY_FIXED, T, JWT_BAD_SIGNATURE },
    { HS_HEADER, GOOD, BY_EMPTY_SECRET, T, JWT_BAD_SIGNATURE },
    { HS_HEADER, GOOD, BY_PLAIN_HASH, T, JWT_BAD_SIGNATURE },
    { HS_HEADER, GOOD, BY_NOBODY, T, JWT_BAD_FORM },

    /* kid, and headers that ask for a key to be fetched or for other rules. */
    { "{\"alg\":\"HS256\",\"kid\":\"unknown\"}", GOOD, BY_HS, T, JWT_NO_SUCH_KEY },
    { "{\"alg\":\"HS256\",\"kid\":\"HS\"}", GOOD, BY_HS, T, JWT_NO_SUCH_KEY },
    { "{\"alg\":\"HS256\",\"kid\":\"other\"}", GOOD, BY_HS, T, JWT_BAD_SIGNATURE },
    { "{\"alg\":\"HS256\",\"kid\":\"\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":null}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":7}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":[\"hs\"]}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", GOOD, BY_EMPTY_SECRET, T,
      JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'a'--\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":\"hs\\u0000\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":\"hs\\n\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"kid\":\"" X50 X50 "\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"jku\":\"http://a/\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}", GOOD, BY_HS, T,
      JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"x5u\":\"http://a/\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"x5c\":[\"AA==\"]}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"crit\":[]}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"b64\":false}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"zip\":\"DEF\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"cty\":\"JWT\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"typ\":\"jwt+x\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"typ\":null}", GOOD, BY_HS, T, JWT_BAD_HEADER },

    /* JSON: members twice, other documents, deep ones, broken ones. */
    { "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "[\"HS256\"]", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "\"HS256\"", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\"}{}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\",}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{alg:\"HS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "{\"alg\":\"HS256\"", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { "\xef\xbb\xbf{\"alg\":\"HS256\"}", GOOD, BY_HS, T, JWT_BAD_HEADER },
    { HS_HEADER, "[]", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, "{}", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, "x", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, GOOD "x", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"exp\":1767013200"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"user_id\":\"root\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"\\u0075ser_id\":\"root\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"capabilities\":[\"admin\"]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER,
      WITH("\"x\":" /* 70 levels */
           "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
           "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
      BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"x\":\"\xff\""), BY_HS, T, JWT_BAD_CLAIMS },

    /* user_id (R44). */
    { HS_HEADER, "{" TIMES "," CAPS "}", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("null"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("7"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("[\"a\"]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"a b\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"a@b.example\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"a\\nb\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"a\\u0000\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"../a\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"\xc3\xa9\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, USER_IS("\"" X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx\""), BY_HS, T, JWT_OK },
    { HS_HEADER, USER_IS("\"" X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""), BY_HS, T,
      JWT_BAD_CLAIMS },

    /* Times: kinds, order, length (R45), boundaries. */
    { HS_HEADER, "{" USER ",\"iat\":1767009600," CAPS "}", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, "{" USER ",\"exp\":1767013200," CAPS "}", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("\"1767013200\"", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767013200.0", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767013200", "1767009600.5"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1e308", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1e400", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("9223372036854775807", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("9223372036854775808", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("9007199254740991", "1767009600"), BY_HS, T, JWT_LIVES_TOO_LONG },
    { HS_HEADER, TIMES_ARE("-1", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767013200", "-1"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767013200", "0"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("null", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("true", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767009600", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767009599", "1767009600"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, TIMES_ARE("1767009601", "1767009600"), BY_HS, T, JWT_OK },
    { HS_HEADER, TIMES_ARE("1767013201", "1767009600"), BY_HS, T, JWT_LIVES_TOO_LONG },
    { HS_HEADER, TIMES_ARE("1798545600", "1767009600"), BY_HS, T, JWT_LIVES_TOO_LONG },
    { HS_HEADER, GOOD, BY_HS, T + 3600, JWT_OK },
    { HS_HEADER, GOOD, BY_HS, T + 3629, JWT_OK },
    { HS_HEADER, GOOD, BY_HS, T + 3630, JWT_EXPIRED },
    { HS_HEADER, GOOD, BY_HS, T + 100000, JWT_EXPIRED },
    { HS_HEADER, GOOD, BY_HS, T - 30, JWT_OK },
    { HS_HEADER, GOOD, BY_HS, T - 31, JWT_NOT_YET },
    { HS_HEADER, GOOD, BY_HS, T - 120, JWT_NOT_YET }, /* R46 */
    { HS_HEADER, WITH("\"nbf\":1767009630"), BY_HS, T, JWT_OK },
    { HS_HEADER, WITH("\"nbf\":1767009631"), BY_HS, T, JWT_NOT_YET },
    { HS_HEADER, WITH("\"nbf\":\"now\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"nbf\":null"), BY_HS, T, JWT_BAD_CLAIMS },

    /* capabilities (R47). */
    { HS_HEADER, "{" USER "," TIMES "}", BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("null"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("\"admin\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("{\"admin\":true}"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("[1]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("[null]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("[[\"admin\"]]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, CAPS_ARE("[]"), BY_HS, T, JWT_OK },
    { HS_HEADER, CAPS_ARE("[\"\",\"fly\",\"execute:\",\"execute:*\",\"*\"]"), BY_HS, T,
      JWT_OK },
    { HS_HEADER, CAPS_ARE("[\"" X50 "xxxxxxxxxxxxxxx\"]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER,
      CAPS_ARE("[\"execute:a\",\"execute:b\",\"execute:c\",\"execute:d\",\"execute:e\","
               "\"execute:f\",\"execute:g\",\"execute:h\",\"execute:i\",\"execute:j\","
               "\"execute:k\",\"execute:l\",\"execute:m\",\"execute:n\",\"execute:o\","
               "\"execute:p\",\"execute:q\"]"),
      BY_HS, T, JWT_BAD_CLAIMS },

    /* jti, iss, aud. */
    { HS_HEADER, WITH("\"jti\":\"\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"jti\":7"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"jti\":\"" X50 X50 "\""), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"iss\":\"anybody\""), BY_HS, T, JWT_OK },
    { HS_HEADER, WITH("\"iss\":7"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"aud\":\"firebreak\""), BY_HS, T, JWT_OK },
    { HS_HEADER, WITH("\"aud\":[\"x\",\"firebreak\"]"), BY_HS, T, JWT_OK },
    { HS_HEADER, WITH("\"aud\":\"elsewhere\""), BY_HS, T, JWT_WRONG_AUDIENCE },
    { HS_HEADER, WITH("\"aud\":[]"), BY_HS, T, JWT_WRONG_AUDIENCE },
    { HS_HEADER, WITH("\"aud\":[\"firebreak\",7]"), BY_HS, T, JWT_BAD_CLAIMS },
    { HS_HEADER, WITH("\"aud\":{}"), BY_HS, T, JWT_BAD_CLAIMS },
    { FIXED_HEADER, WITH("\"iss\":\"https://issuer\",\"aud\":\"here\""), BY_FIXED, T, JWT_OK },
    { FIXED_HEADER, WITH("\"iss\":\"https://issuer\""), BY_FIXED, T, JWT_WRONG_AUDIENCE },
    { FIXED_HEADER, WITH("\"aud\":\"here\""), BY_FIXED, T, JWT_WRONG_ISSUER },
    { FIXED_HEADER, WITH("\"iss\":\"https://issuer/\",\"aud\":\"here\""), BY_FIXED, T,
      JWT_WRONG_ISSUER },
    { FIXED_HEADER, WITH("\"iss\":\"https://issuer\",\"aud\":\"firebreak\""), BY_FIXED, T,
      JWT_WRONG_AUDIENCE },
};

static void every_token_of_the_table_is_judged_right(void **state)
{
    unsigned wrong = 0;

    (void)state;
    assert_true(ARRAY_LEN(rows) >= 150);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf token = BUF_INIT(65536);
        struct jwt t;
        make_token(rows[i].header, rows[i].payload, rows[i].how, &token);
        enum jwt_reason got = jwt_check(buf_str(&token), key, KEYS, rows[i].now_s, &t);
        if (got == rows[i].want)
            continue;
        wrong++;
        print_error("row %zu: %s . %s: %s, not %s\n", i, rows[i].header, rows[i].payload,
                    jwt_reason_text(got), jwt_reason_text(rows[i].want));
    }
    assert_int_equal(wrong, 0);
}

/* Made by another program (Python's hmac): the seed's code with the secret above. */
static const char seed_token[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoidXNlci0xMjMiLCJleHAiOjE3Njc"
    "wMTMyMDAsImlhdCI6MTc2NzAwOTYwMCwiY2FwYWJpbGl0aWVzIjpbImV4ZWN1dGU6cHl0aG9uIiwiZXh"
    "lY3V0ZTpqYXZhc2NyaXB0Il19.A6l9OKUwskrgUaAXvxI-a3yfwItpirHGNudi9eG_4cY";

static enum jwt_reason judge(struct str token)
{
    struct jwt t;
    return jwt_check(token, key, KEYS, T, &t);
}

static void a_token_of_the_seed_s_own_code_is_taken_and_made_byte_for_byte(void **state)
{
    AUTO_BUF struct buf again = BUF_INIT(JWT_MAX);
    struct jwt_key anonymous = key[HS];
    struct jwt t;

    (void)state;
    assert_int_equal(jwt_check(STR(seed_token), key, KEYS, T, &t), JWT_OK);
    assert_string_equal(t.user_id, "user-123");
    assert_true(t.iat_s == T && t.exp_s == T + 3600);
    assert_true(caps_may_execute(&t.caps, STR("python")));
    assert_true(caps_may_execute(&t.caps, STR("javascript")));
    assert_false(caps_may_execute(&t.caps, STR("bash")));
    assert_false(caps_have(&t.caps, CAP_ADMIN) || caps_have(&t.caps, CAP_NETWORK_EGRESS));
    anonymous.kid[0] = 0;
    jwt_sign(&anonymous, &t, &again);
    assert_string_equal(buf_cstr(&again), seed_token);
}

static void every_changed_byte_of_a_token_is_noticed(void **state)
{
    static const char others[] = "A_-z0+/=. \n";
    char changed[sizeof seed_token];

    (void)state;
    for (size_t i = 0; i < sizeof seed_token - 1; i++)
        for (size_t k = 0; k < sizeof others - 1; k++) {
            memcpy(changed, seed_token, sizeof changed);
            if (changed[i] == others[k])
                continue;
            changed[i] = others[k];
            assert_int_not_equal(judge(STR(changed)), JWT_OK);
        }
    for (size_t n = 0; n < sizeof seed_token - 1; n++) /* and every one that was cut short */
        assert_int_not_equal(judge((struct str){ seed_token, n }), JWT_OK);
}

static void what_is_around_the_three_parts_is_refused(void **state)
{
    static const char *const form[] = {
        "",    ".",   "..",   "...",    "a",   "a.b",  "a.b.c.d", "%s.",       ".%s",
        " %s", "%s ", "%s\n", "\"%s\"", "%s=", "%s==", "%s.%1$s", "Bearer %s", "%s\t"
    };
    char token[3 * sizeof seed_token];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(form); i++) {
        AUTO_BUF struct buf b = BUF_INIT(sizeof token);
        for (const char *c = form[i]; *c; c++) {
            if (*c != '%') {
                buf_add_char(&b, *c);
                continue;
            }
            buf_add_cstr(&b, seed_token);
            while (c[1] && *c != 's')
                c++;
        }
        assert_int_equal(judge(buf_str(&b)), JWT_BAD_FORM);
    }
    assert_int_equal(judge((struct str){ seed_token, sizeof seed_token }),
                     JWT_BAD_FORM); /* NUL */
}

/* The last letter of 32 bytes has two bits that no encoder sets. */
static void bits_that_nobody_sets_make_no_second_spelling(void **state)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char changed[sizeof seed_token];
    unsigned good = 0;

    (void)state;
    memcpy(changed, seed_token, sizeof changed);
    for (size_t i = 0; i < 64; i++) {
        changed[sizeof changed - 2] = letters[i];
        good += judge(STR(changed)) == JWT_OK;
    }
    assert_int_equal(good, 1);
}

static void a_token_at_the_largest_size_is_read_and_one_byte_more_is_not(void **state)
{
    AUTO_BUF struct buf payload = BUF_INIT(2 * JWT_MAX);

    (void)state;
    for (size_t n = 5000; n < 7000; n++) {
        AUTO_BUF struct buf token = BUF_INIT(2 * JWT_MAX);
        buf_clear(&payload);
        buf_add_cstr(&payload, "{" USER "," TIMES "," CAPS ",\"x\":\"");
        for (size_t i = 0; i < n; i++)
            buf_add_char(&payload, 'x');
        buf_add_cstr(&payload, "\"}");
        make_token(HS_HEADER, buf_cstr(&payload), BY_HS, &token);
        enum jwt_reason want = token.n > JWT_MAX ? JWT_TOO_LONG : JWT_OK;
        assert_int_equal(judge(buf_str(&token)), want);
    }
}

static void without_keys_nothing_is_taken(void **state)
{
    struct jwt t;

    (void)state;
    assert_int_equal(jwt_check(STR(seed_token), NULL, 0, T, &t), JWT_NO_SUCH_KEY);
}

static void what_is_signed_is_read_back_by_either_algorithm(void **state)
{
    static const int which[] = { HS, ED, OTHER_HS, FIXED };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(which); i++) {
        AUTO_BUF struct buf token = BUF_INIT(JWT_MAX);
        struct jwt t = { .user_id = "u:1", .jti = "j", .iat_s = T, .exp_s = T + 60 }, got;
        assert_int_equal(caps_add(&t.caps, STR("admin")), 1);
        jwt_sign(&key[which[i]], &t, &token);
        assert_int_equal(jwt_check(buf_str(&token), key, KEYS, T, &got), JWT_OK);
        assert_string_equal(got.user_id, "u:1");
        assert_int_equal(got.key, which[i]);
        assert_true(caps_have(&got.caps, CAP_ADMIN));
        struct digest id = jwt_id_of_jti(STR("j"));
        assert_memory_equal(&got.id, &id, sizeof id);
    }
}

/* RFC 8037 A.4 signs another text; RFC 8032 7.1 test 1 is the same key and the empty one. */
static void ed25519_is_that_of_the_rfc(void **state)
{
    static const uint8_t want[] = { 0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72,
                                    0x90, 0x86, 0xe2, 0xcc, 0x80, 0x6e, 0x82, 0x8a };
    uint8_t got[ED25519_SIG];

    (void)state;
    ed25519_sign(key[ED].secret, STR(""), got);
    assert_memory_equal(got, want, sizeof want);
    assert_true(ed25519_verify(key[ED].public_key, STR(""), got));
    for (size_t i = 0; i < sizeof got; i++) {
        got[i] ^= 1;
        assert_false(ed25519_verify(key[ED].public_key, STR(""), got));
        got[i] ^= 1;
    }
}

/* RFC 4231, test case 2. */
static void hmac_is_that_of_the_rfc(void **state)
{
    static const uint8_t want[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e };
    struct digest d = digest_hmac(STR("Jefe"), STR("what do ya want for nothing?"));

    (void)state;
    assert_memory_equal(d.byte, want, sizeof want);
}

/* --- keys --- */

static void a_key_is_read_as_it_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        AUTO_BUF struct buf b = BUF_INIT(4096);
        AUTO_BUF struct buf half = BUF_INIT(4096);
        struct jwt_key got;
        struct err e = { 0 };
        jwt_key_write(&key[i], true, &b);
        assert_int_equal(jwt_key_read(buf_str(&b), &got, &e), 0);
        assert_memory_equal(&got, &key[i], sizeof got);
        jwt_key_write(&key[i], false, &half);
        assert_int_equal(jwt_key_read(buf_str(&half), &got, &e), 0);
        assert_int_equal(got.can_sign, key[i].alg == JWT_HS256);
        assert_memory_equal(got.public_key, key[i].public_key, sizeof got.public_key);
    }
}

static void a_bad_key_is_refused_and_not_quoted(void **state)
{
#define OCT "\"kty\":\"oct\",\"alg\":\"HS256\""
#define OKP "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\""
#define K32 "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0cw" /* "secretsecret...": a placeholder */
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{" OCT "}",
        "{" OCT ",\"k\":\"\"}",
        "{" OCT ",\"k\":\"QUFB\"}",
        "{" OCT ",\"k\":7}",
        "{" OCT ",\"k\":\"" K32 "\"}",
        "{\"kty\":\"oct\",\"k\":\"_w9-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"_w9-"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{\"kty\":\"oct\",\"alg\":\"EdDSA\",\"k\":\"_w9-"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"HS256\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"alg\":\"EdDSA\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{" OCT ",\"k\":\"/w9+AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{" OCT ",\"k\":\"_w9-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}",
        "{" OKP "}",
        "{" OKP ",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcH\"}",
        "{" OKP ",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{" OKP ",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"a/b\"}",
        "{" OKP ",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"iss\":\"a b\"}",
        "{" OKP ",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct jwt_key got;
        struct err e = { 0 };
        assert_int_equal(jwt_key_read(str_from(bad[i]), &got, &e), -EINVAL);
        assert_null(strstr(e.text, "11qY"));
        assert_null(strstr(e.text, "c2Vj"));
    }
}

/* R49. */
static void a_weak_secret_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "short",
        "0123456789abcdef0123456789abcde",
        "change-me-change-me-change-me-change-me-change-me",
        "Your_secret_goes_here_your_secret_goes_here",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    struct jwt_key k;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(jwt_key_of_secret(str_from(bad[i]), &k, &e), -EINVAL);
    assert_int_equal(jwt_key_of_secret(STR(secret_text), &k, &e), 0);
    assert_int_equal(jwt_key_of_secret(STR("0123456789abcdef0123456789abcdef"), &k, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_of_the_table_is_judged_right),
        cmocka_unit_test(a_token_of_the_seed_s_own_code_is_taken_and_made_byte_for_byte),
        cmocka_unit_test(every_changed_byte_of_a_token_is_noticed),
        cmocka_unit_test(what_is_around_the_three_parts_is_refused),
        cmocka_unit_test(bits_that_nobody_sets_make_no_second_spelling),
        cmocka_unit_test(a_token_at_the_largest_size_is_read_and_one_byte_more_is_not),
        cmocka_unit_test(without_keys_nothing_is_taken),
        cmocka_unit_test(what_is_signed_is_read_back_by_either_algorithm),
        cmocka_unit_test(ed25519_is_that_of_the_rfc),
        cmocka_unit_test(hmac_is_that_of_the_rfc),
        cmocka_unit_test(a_key_is_read_as_it_is_written),
        cmocka_unit_test(a_bad_key_is_refused_and_not_quoted),
        cmocka_unit_test(a_weak_secret_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
