/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/auth.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "codec/base64.h"
#include "codec/url.h"
#include "envd/sha256.h"

#define QUERY_MAX 16384

int auth_sign(struct str path, const char *op, struct str user, struct str token,
              struct str expiration, char out[AUTH_SIGNATURE_MAX])
{
    AUTO_BUF struct buf text = BUF_INIT(AUTH_SIGNATURE_MAX);
    uint8_t digest[SHA256_BYTES];
    struct sha256 h;

    sha256_init(&h);
    sha256_add(&h, path.p, path.n);
    sha256_add(&h, ":", 1);
    sha256_add(&h, op, strlen(op));
    sha256_add(&h, ":", 1);
    sha256_add(&h, user.p, user.n);
    sha256_add(&h, ":", 1);
    sha256_add(&h, token.p, token.n);
    if (expiration.n > 0) {
        sha256_add(&h, ":", 1);
        sha256_add(&h, expiration.p, expiration.n);
    }
    sha256_done(&h, digest);
    buf_add_cstr(&text, "v1_");
    base64_encode(digest, sizeof digest, &text);
    struct str s = buf_str(&text);
    while (s.n > 0 && s.p[s.n - 1] == '=')
        s.n--;
    return buf_ok(&text) ? str_copy(s, out, AUTH_SIGNATURE_MAX) : -ENAMETOOLONG;
}

const char *auth_check(struct settings *s, struct http_conn *c)
{
    if (!settings_has_token(s) ||
        settings_token_is(s, http1_get(http_head(c), "X-Access-Token")))
        return NULL;
    return "unauthorized access, please provide a valid access token or method signing if "
           "supported";
}

struct signed_query {
    struct buf path, user, signature, expiration;
};

static void query_fini(struct signed_query *q)
{
    buf_fini(&q->path);
    buf_fini(&q->user);
    buf_fini(&q->signature);
    buf_fini(&q->expiration);
}

static const char *check_signature(struct settings *s, const struct signed_query *q,
                                   const char *op, uint64_t now_s)
{
    char token[SETTINGS_TOKEN_MAX + 1], want[AUTH_SIGNATURE_MAX];
    uint64_t until;

    settings_token(s, token);
    int rc = auth_sign(buf_str(&q->path), op, buf_str(&q->user), str_from(token),
                       buf_str(&q->expiration), want);
    explicit_bzero(token, sizeof token);
    bool same = rc == 0 && str_eq_secret(buf_str(&q->signature), str_from(want));
    explicit_bzero(want, sizeof want);
    if (!same)
        return "invalid signature";
    if (q->expiration.n == 0)
        return NULL;
    if (num_parse_u64(buf_str(&q->expiration), 0, UINT64_MAX, &until) < 0)
        return "invalid signature expiration";
    return until < now_s ? "signature is already expired" : NULL;
}

const char *auth_check_file(struct settings *s, struct http_conn *c, const char *op,
                            uint64_t now_s)
{
    struct str header = http1_get(http_head(c), "X-Access-Token"), query = http_query(c);

    if (!settings_has_token(s))
        return NULL;
    if (header.p)
        return settings_token_is(s, header)
                   ? NULL
                   : "access token present in header but does not match";
    __attribute__((cleanup(query_fini))) struct signed_query q = {
        BUF_INIT(QUERY_MAX), BUF_INIT(QUERY_MAX), BUF_INIT(QUERY_MAX), BUF_INIT(QUERY_MAX)
    };
    (void)url_query_get(query, "path", &q.path); /* absent or broken counts as empty */
    (void)url_query_get(query, "username", &q.user);
    (void)url_query_get(query, "signature_expiration", &q.expiration);
    if (url_query_get(query, "signature", &q.signature) < 0)
        return "missing signature query parameter";
    return check_signature(s, &q, op, now_s);
}
