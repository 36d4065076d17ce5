/* SPDX-License-Identifier: Apache-2.0 */
#include "secrets/envelope.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "codec/base64.h"
#include "crypto/sha256.h"

#define PBKDF2_ROUNDS  600000u
#define ARGON2_PASSES  3u
#define ARGON2_KIB     65536u
#define PASSPHRASE_MIN 16u
#define PASSPHRASE_MAX 1024u
#define SEALED_MAX     ((size_t)ENVELOPE_VALUE_MAX + SEAL_TAG)

void envelope_key_derive(struct envelope_key *k, enum envelope_kdf kdf, struct str passphrase,
                         const uint8_t salt[ENVELOPE_SALT])
{
    struct str s = { (const char *)salt, ENVELOPE_SALT };
    uint8_t mac[32];

    if (kdf == ENVELOPE_ARGON2ID)
        key_by_argon2id(passphrase, s, ARGON2_PASSES, ARGON2_KIB, k->key);
    else
        key_by_pbkdf2(passphrase, s, PBKDF2_ROUNDS, k->key);
    memmove(k->salt, salt, ENVELOPE_SALT);
    k->kdf = kdf;
    hmac_sha256((struct str){ (const char *)k->key, SEAL_KEY }, STR("chit-kid"), mac);
    hex_encode(mac, ENVELOPE_KID / 2, k->kid);
    k->is_set = true;
}

void envelope_key_fini(struct envelope_key *k)
{
    explicit_bzero(k, sizeof *k);
}

int envelope_check_passphrase(struct str p, struct err *e)
{
    static const char *const placeholder[] = { "change-me", "changeme", "your_", "your-" };

    if (p.n < PASSPHRASE_MIN || p.n > PASSPHRASE_MAX)
        return err_say(e, EINVAL, "a passphrase must have %u to %u bytes", PASSPHRASE_MIN,
                       PASSPHRASE_MAX);
    if (memchr(p.p, '\n', p.n) || memchr(p.p, 0, p.n))
        return err_say(e, EINVAL, "a passphrase must be one line");
    for (size_t i = 0; i < ARRAY_LEN(placeholder); i++)
        if (str_starts(p, str_from(placeholder[i])))
            return err_say(e, EINVAL, "the passphrase is a placeholder");
    return 0;
}

bool envelope_name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.n > 0 && name.n <= 128;
}

/* --- text --- */

static void add_url64(struct buf *out, const void *p, size_t n)
{
    size_t at = out->n;

    base64_encode(p, n, out);
    if (!buf_ok(out))
        return;
    while (out->n > at && out->p[out->n - 1] == '=')
        buf_truncate(out, out->n - 1);
    for (size_t i = at; i < out->n; i++) {
        if (out->p[i] == '+')
            out->p[i] = '-';
        else if (out->p[i] == '/')
            out->p[i] = '_';
    }
}

/* One form only: what is decoded must encode to the same text. */
static int from_url64(struct str s, struct buf *out)
{
    AUTO_BUF struct buf again = BUF_INIT(2 * SEALED_MAX);
    size_t at = out->n;

    if (base64_decode(s, out) < 0 || !buf_ok(out))
        return -EINVAL;
    add_url64(&again, out->p + at, out->n - at);
    return str_eq(buf_str(&again), s) ? 0 : -EINVAL;
}

static int fixed_from_url64(struct str s, uint8_t *out, size_t n)
{
    AUTO_BUF struct buf b = BUF_INIT(64);

    if (s.n > 32 || from_url64(s, &b) < 0 || b.n != n)
        return -EINVAL;
    memcpy(out, b.p, n);
    return 0;
}

static void add_aad(struct buf *out, struct str name)
{
    buf_add_cstr(out, "{\"id\":\"");
    buf_add_str(out, name); /* letters, digits and _ */
    buf_add_cstr(out, "\"}");
}

void envelope_seal(const struct envelope_key *k, const uint8_t iv[SEAL_IV], struct str name,
                   struct str value, struct buf *out)
{
    AUTO_BUF struct buf aad = BUF_INIT(256), sealed = BUF_INIT(SEALED_MAX);

    add_aad(&aad, name);
    seal(k->key, iv, buf_str(&aad), value, &sealed);
    buf_addf(out, ENVELOPE_PREFIX "v%d.%s.", k->kdf, k->kid);
    add_url64(out, k->salt, sizeof k->salt);
    buf_add_char(out, '.');
    add_url64(out, iv, SEAL_IV);
    buf_add_char(out, '.');
    add_url64(out, sealed.p, sealed.n);
    if (!buf_ok(&sealed) && out->failed == 0)
        out->failed = sealed.failed;
}

bool envelope_is(struct str text)
{
    return str_starts(text, STR(ENVELOPE_PREFIX));
}

int envelope_parse(struct str text, struct envelope *out)
{
    struct envelope e = { 0 };
    struct str word, kid;
    uint8_t kid_bytes[ENVELOPE_KID / 2];

    if (envelope_is(text))
        text = str_sub(text, sizeof ENVELOPE_PREFIX - 1, text.n);
    if (!str_cut(text, '.', &word, &text))
        return -EINVAL;
    e.kdf = str_eq(word, STR("v1")) ? ENVELOPE_PBKDF2 : ENVELOPE_ARGON2ID;
    if (e.kdf == ENVELOPE_ARGON2ID && !str_eq(word, STR("v2")))
        return -EINVAL;
    if (!str_cut(text, '.', &kid, &text) || hex_decode(kid, kid_bytes, sizeof kid_bytes) < 0)
        return -EINVAL;
    (void)str_copy(kid, e.kid, sizeof e.kid); /* 16 digits */
    if (!str_cut(text, '.', &word, &text) || fixed_from_url64(word, e.salt, sizeof e.salt) < 0)
        return -EINVAL;
    if (!str_cut(text, '.', &word, &e.sealed_text) ||
        fixed_from_url64(word, e.iv, sizeof e.iv) < 0)
        return -EINVAL;
    if (e.sealed_text.n > 2 * SEALED_MAX)
        return -EINVAL;
    *out = e;
    return 0;
}

static bool has_key_of(const struct envelope_key *k, const struct envelope *v)
{
    return k->is_set && k->kdf == v->kdf && memcmp(k->salt, v->salt, sizeof k->salt) == 0;
}

int envelope_open(struct envelope_key *k, struct str passphrase, struct str name,
                  struct str text, struct buf *out, struct err *e)
{
    struct envelope v;
    AUTO_BUF struct buf aad = BUF_INIT(256), sealed = BUF_INIT(2 * SEALED_MAX);

    if (!envelope_name_ok(name) || envelope_parse(text, &v) < 0 ||
        from_url64(v.sealed_text, &sealed) < 0)
        return err_say(e, EINVAL, "the value of %.*s is no envelope",
                       (int)(name.n < 128 ? name.n : 128), name.p);
    if (!has_key_of(k, &v))
        envelope_key_derive(k, v.kdf, passphrase, v.salt);
    add_aad(&aad, name);
    if (strcmp(k->kid, v.kid) != 0 ||
        !unseal(k->key, v.iv, buf_str(&aad), buf_str(&sealed), out))
        return err_say(
            e, EBADMSG,
            "the value of %.*s does not open: another passphrase or variable, or it was "
            "changed",
            (int)name.n, name.p);
    return 0;
}
