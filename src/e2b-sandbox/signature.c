/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/signature.h"

#include <string.h>

#include "auth/digest.h"
#include "codec/base64.h"
#include "codec/url.h"

/* Anybody may ask, and each question costs one digest per sandbox: no longer than a path can be. */
#define SIGNED_MAX ((size_t)4352)

void signature_fini(struct file_signature *s)
{
    buf_fini(&s->text);
    buf_fini(&s->expiration);
    buf_fini(&s->given);
}

bool signature_read(struct str method, struct str path, struct str query,
                    struct file_signature *out)
{
    bool writes = str_eq(method, STR("POST"));

    if (!str_eq(path, STR("/files")) ||
        !(writes || str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"))))
        return false;
    out->text = BUF_INIT(SIGNED_MAX);
    out->expiration = BUF_INIT(64);
    out->given = BUF_INIT(128);
    if (url_query_get(query, "signature", &out->given) < 0)
        return false;
    (void)url_query_get(query, "path", &out->text); /* absent counts as empty here and below */
    buf_add_cstr(&out->text, writes ? ":write:" : ":read:");
    (void)url_query_get(query, "username", &out->text);
    buf_add_char(&out->text, ':');
    buf_add_char(&out->expiration, ':');
    if (url_query_get(query, "signature_expiration", &out->expiration) < 0)
        buf_clear(&out->expiration);
    return buf_ok(&out->text) && buf_ok(&out->expiration) && buf_ok(&out->given);
}

bool signature_is_by(const struct file_signature *s, struct str token)
{
    AUTO_BUF struct buf text = BUF_INIT(2 * SIGNED_MAX);
    AUTO_BUF struct buf want = BUF_INIT(128);

    buf_add_str(&text, buf_str(&s->text));
    buf_add_str(&text, token);
    buf_add_str(&text, buf_str(&s->expiration));
    struct digest d = digest_of(buf_str(&text));
    if (text.p)
        explicit_bzero(text.p, text.n); /* it held the token */
    buf_add_cstr(&want, "v1_");
    base64_encode(d.byte, sizeof d.byte, &want);
    while (want.n > 0 && want.p[want.n - 1] == '=')
        want.n--; /* written without padding */
    return buf_ok(&text) && buf_ok(&want) && str_eq_secret(buf_str(&want), buf_str(&s->given));
}
