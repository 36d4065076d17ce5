/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/head.h"

#include <errno.h>
#include <string.h>

#include "audit/cursor.h"
#include "base/auto.h"
#include "base/clock.h"

static void write_stream(unsigned stream, const struct audit_point *p, struct buf *out)
{
    char first[SHA256_HEX + 1], hash[SHA256_HEX + 1];

    sha256_to_hex(&p->first_prev, first);
    sha256_to_hex(&p->hash, hash);
    buf_addf(out,
             "{\"job\":\"%s\",\"retention\":\"%ud\",\"first_seq\":%llu,\"first_prev\":\"%s\","
             "\"seq\":%llu,\"hash\":\"%s\"}",
             audit_job_text(audit_stream_job(stream)), audit_stream_days(stream),
             (unsigned long long)p->first_seq, first, (unsigned long long)p->seq, hash);
}

/* All that is signed. */
static void write_body(const struct audit_head *h, struct buf *out)
{
    char when[CLOCK_TEXT_MAX], key[2 * ED25519_KEY + 1];
    const char *separator = "";

    clock_format_rfc3339(h->real_ns, 3, when);
    buf_addf(out, "{\"timestamp\":\"%s\",\"streams\":[", when);
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        if (h->stream[i].seq == 0)
            continue;
        buf_add_cstr(out, separator);
        write_stream(i, &h->stream[i], out);
        separator = ",";
    }
    hex_encode(h->key, sizeof h->key, key);
    buf_addf(out, "],\"key\":\"%s\"", key);
}

int audit_head_write(struct audit_head *h, const uint8_t seed[ED25519_SEED], struct buf *out)
{
    uint8_t sig[ED25519_SIG];
    char hex[2 * ED25519_SIG + 1];
    size_t at = out->n;

    ed25519_public(seed, h->key);
    write_body(h, out);
    if (!buf_ok(out))
        return -out->failed;
    ed25519_sign(seed, str_sub(buf_str(out), at, out->n), sig);
    hex_encode(sig, sizeof sig, hex);
    buf_addf(out, ",\"sig\":\"%s\"}", hex);
    return buf_ok(out) ? 0 : -out->failed;
}

static unsigned read_which(struct cursor *c)
{
    unsigned stream = 0;

    (void)cursor_take(c, "{\"job\":\"");
    struct str job = cursor_until(c, '"');
    (void)cursor_take(c, "\",\"retention\":\"");
    uint64_t days = cursor_u64(c, 365);
    (void)cursor_take(c, "d\",\"first_seq\":");
    while (stream < AUDIT_STREAMS &&
           (audit_stream_days(stream) != days ||
            !str_eq(job, str_from(audit_job_text(audit_stream_job(stream))))))
        stream++;
    if (stream == AUDIT_STREAMS)
        c->bad = true;
    return c->bad ? 0 : stream;
}

static void read_stream(struct cursor *c, struct audit_head *h)
{
    struct audit_point p = { .real_ns = h->real_ns };
    unsigned stream = read_which(c);

    p.first_seq = cursor_u64(c, UINT64_MAX);
    (void)cursor_take(c, ",\"first_prev\":");
    cursor_hex(c, p.first_prev.byte, sizeof p.first_prev.byte);
    (void)cursor_take(c, ",\"seq\":");
    p.seq = cursor_u64(c, UINT64_MAX);
    (void)cursor_take(c, ",\"hash\":");
    cursor_hex(c, p.hash.byte, sizeof p.hash.byte);
    (void)cursor_take(c, "}");
    if (p.seq == 0 || p.first_seq == 0)
        c->bad = true;
    if (!c->bad)
        h->stream[stream] = p;
}

static void read_body(struct cursor *c, struct audit_head *h)
{
    char when[CLOCK_TEXT_MAX];

    (void)cursor_take(c, "{\"timestamp\":\"");
    if (str_copy(cursor_until(c, '"'), when, sizeof when) < 0 ||
        clock_parse_rfc3339(when, &h->real_ns) < 0)
        c->bad = true;
    (void)cursor_take(c, "\",\"streams\":[");
    if (!cursor_try(c, "]")) {
        for (unsigned i = 0; i < AUDIT_STREAMS && !c->bad; i++) {
            read_stream(c, h);
            if (!cursor_try(c, ","))
                break;
        }
        (void)cursor_take(c, "]");
    }
    (void)cursor_take(c, ",\"key\":");
    cursor_hex(c, h->key, sizeof h->key);
}

int audit_head_read(struct str text, struct audit_head *out)
{
    struct audit_head h = { 0 };
    struct cursor c = { .left = text, .bad = text.n > AUDIT_HEAD_MAX };
    uint8_t sig[ED25519_SIG] = { 0 };
    AUTO_BUF struct buf again = BUF_INIT(AUDIT_HEAD_MAX);

    read_body(&c, &h);
    struct str body = { text.p, text.n - c.left.n };
    (void)cursor_take(&c, ",\"sig\":");
    cursor_hex(&c, sig, sizeof sig);
    (void)cursor_take(&c, "}");
    write_body(&h, &again);
    if (!cursor_at_end(&c) || !buf_ok(&again) || !str_eq(buf_str(&again), body))
        return -EINVAL;
    if (!ed25519_verify(h.key, body, sig))
        return -EBADMSG;
    *out = h;
    return 0;
}
