/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/line.h"

#include <errno.h>
#include <string.h>

#include "audit/cursor.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"

#define REDACTED "redacted"

/* --- texts --- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static size_t hex_run(struct str s)
{
    size_t n = 0;

    while (n < s.n && is_hex(s.p[n]))
        n++;
    return n;
}

static bool is_token_char(char c)
{
    return is_hex(c) || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-' ||
           c == '_';
}

/* eyJ... and a dot: the head of a JWT, which always begins with {" in base64url. */
static bool is_jwt(struct str s)
{
    size_t n = 0;

    while (n < s.n && is_token_char(s.p[n]))
        n++;
    return str_starts(s, STR("eyJ")) && n >= 10 && n < s.n && s.p[n] == '.';
}

/* What must never be kept for 90 days: our keys, 32 bytes in hexadecimal as the guide makes tokens, JWTs, envelopes. */
static bool looks_secret(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        struct str at = str_sub(s, i, s.n);
        if ((str_starts(at, STR("e2b_")) && hex_run(str_sub(at, 4, at.n)) >= 16) ||
            hex_run(at) >= 64 || is_jwt(at) || str_starts(at, STR("chit:encrypt:")))
            return true;
    }
    return false;
}

/* How many bytes a character of UTF-8 has that begins so; 0: none does. */
static size_t length_of(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first >= 0xf5)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Has the character been written with as few bytes as it needs, and is it one? */
static bool is_shortest(uint32_t v, size_t n)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    return v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v >= 0xe000);
}

/* One character of UTF-8 at the start of s (not empty): its bytes, or 0. */
static size_t decode(struct str s, uint32_t *out)
{
    static const uint8_t mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = length_of(p[0]);
    uint32_t v = p[0] & mask[n];

    if (n == 0 || n > s.n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3fu);
    }
    if (!is_shortest(v, n))
        return 0;
    *out = v;
    return n;
}

static void write_char(struct buf *out, uint32_t c)
{
    if (c == '"' || c == '\\')
        buf_addf(out, "\\%c", (char)c);
    else if (c >= 0x20 && c < 0x7f)
        buf_add_char(out, (char)c);
    else if (c < 0x10000)
        buf_addf(out, "\\u%04x", c);
    else
        buf_addf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                 0xdc00 + ((c - 0x10000) & 0x3ff));
}

static void write_text(struct buf *out, struct str s)
{
    if (looks_secret(s))
        s = STR(REDACTED);
    buf_add_char(out, '"');
    while (s.n > 0) {
        uint32_t c = '?';
        size_t n = decode(s, &c);
        write_char(out, c);
        s = str_sub(s, n > 0 ? n : 1, s.n);
    }
    buf_add_char(out, '"');
}

static struct str text_of(const char *p, size_t cap)
{
    return (struct str){ p, strnlen(p, cap - 1) }; /* also if the NUL is missing */
}
#define TEXT(array) text_of((array), sizeof(array))

static void write_or_null(struct buf *out, const char *key, struct str s)
{
    buf_addf(out, ",\"%s\":", key);
    if (s.n > 0)
        write_text(out, s);
    else
        buf_add_cstr(out, "null");
}

static void write_if(struct buf *out, const char *key, struct str s)
{
    if (s.n > 0)
        write_or_null(out, key, s);
}

/* --- writing --- */

static void write_extras(const struct audit_fields *f, struct buf *out)
{
    write_if(out, "request_id", TEXT(f->request_id));
    write_if(out, "reason", TEXT(f->reason));
    if (f->has_exit_code)
        buf_addf(out, ",\"exit_code\":%d", f->exit_code);
    write_if(out, "severity", str_from(audit_severity_text(f->severity)));
}

static void write_line(const struct audit_line *l, struct buf *out)
{
    static const char *const success[] = { "null", "false", "true" };
    const struct audit_fields *f = &l->f;
    char when[CLOCK_TEXT_MAX], hash[SHA256_HEX + 1];

    clock_format_rfc3339(f->real_ns, 3, when);
    buf_addf(out, "{\"timestamp\":\"%s\",\"event_type\":\"%s\"", when,
             audit_event_text(f->event));
    write_or_null(out, "sandbox_id", TEXT(f->sandbox_id));
    write_or_null(out, "user_id", TEXT(f->user_id));
    write_or_null(out, "agent_id", TEXT(f->agent_id));
    write_or_null(out, "language", TEXT(f->language));
    buf_add_cstr(out, ",\"duration_ms\":");
    if (f->duration_ms < 0)
        buf_add_cstr(out, "null");
    else
        buf_add_i64(out, f->duration_ms);
    buf_addf(out, ",\"success\":%s", success[f->success + 1]);
    write_or_null(out, "ip_address", TEXT(f->ip_address));
    write_extras(f, out);
    sha256_to_hex(&l->prev, hash);
    buf_addf(out, ",\"seq\":%llu,\"prev_hash\":\"%s\"}", (unsigned long long)l->seq, hash);
}

int audit_line_write(const struct audit_line *l, struct buf *out)
{
    if (l->seq == 0 || !audit_event_text(l->f.event) || !audit_severity_text(l->f.severity) ||
        l->f.success < -1 || l->f.success > 1)
        return -EINVAL;
    write_line(l, out);
    return buf_ok(out) ? 0 : -out->failed;
}

/* --- reading --- */

static uint32_t read_u16(struct cursor *c)
{
    uint64_t v = 0;

    if (c->left.n < 4 || num_parse_hex_u64(str_sub(c->left, 0, 4), 0xffff, &v) < 0)
        c->bad = true;
    c->left = str_sub(c->left, 4, c->left.n);
    return (uint32_t)v;
}

static uint32_t read_escape(struct cursor *c)
{
    if (cursor_try(c, "\""))
        return '"';
    if (cursor_try(c, "\\"))
        return '\\';
    if (!cursor_take(c, "u"))
        return 0;
    uint32_t v = read_u16(c);
    if (v >= 0xd800 && v < 0xdc00 && cursor_take(c, "\\u")) {
        uint32_t low = read_u16(c);
        if (low < 0xdc00 || low > 0xdfff)
            c->bad = true;
        v = 0x10000 + ((v - 0xd800) << 10) + ((low - 0xdc00) & 0x3ff);
    } else if (v >= 0xd800 && v < 0xe000) {
        c->bad = true;
    }
    return v;
}

static void put_utf8(uint32_t v, char *out, size_t cap, size_t *n)
{
    char p[4];
    size_t k = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;

    for (size_t i = k; i-- > 1; v >>= 6)
        p[i] = (char)(0x80 | (v & 0x3f));
    p[0] = (char)(k == 1 ? v : v | (0xf00u >> k & 0xf0));
    if (*n + k < cap)
        memcpy(out + *n, p, k);
    *n += k;
}

static void read_text(struct cursor *c, char *out, size_t cap)
{
    size_t n = 0;

    (void)cursor_take(c, "\"");
    while (!c->bad && c->left.n > 0 && c->left.p[0] != '"') {
        uint32_t v = (unsigned char)c->left.p[0];
        c->left = str_sub(c->left, 1, c->left.n);
        if (v == '\\')
            v = read_escape(c);
        if (v == 0)
            c->bad = true;
        put_utf8(v, out, cap, &n);
    }
    (void)cursor_take(c, "\"");
    if (n >= cap)
        c->bad = true;
    if (c->bad)
        n = 0;
    out[n] = 0;
}

static void read_or_null(struct cursor *c, const char *key, char *out, size_t cap)
{
    if (cursor_take(c, key) && !cursor_try(c, "null"))
        read_text(c, out, cap);
}

static void read_when(struct cursor *c, uint64_t *out)
{
    char when[CLOCK_TEXT_MAX];

    (void)cursor_take(c, "{\"timestamp\":");
    read_text(c, when, sizeof when);
    if (!c->bad && clock_parse_rfc3339(when, out) < 0)
        c->bad = true;
}

static void read_event(struct cursor *c, uint32_t *out)
{
    char word[48];

    (void)cursor_take(c, ",\"event_type\":");
    read_text(c, word, sizeof word);
    for (*out = 0; *out < AUDIT_EVENTS; ++*out)
        if (strcmp(word, audit_event_text(*out)) == 0)
            return;
    c->bad = true;
}

static void read_numbers(struct cursor *c, struct audit_fields *f)
{
    (void)cursor_take(c, ",\"duration_ms\":");
    f->duration_ms =
        cursor_try(c, "null") ? AUDIT_NO_DURATION : (int64_t)cursor_u64(c, INT64_MAX);
    (void)cursor_take(c, ",\"success\":");
    f->success = cursor_try(c, "null") ? AUDIT_NO_SUCCESS : cursor_try(c, "true") ? 1 : 0;
    if (f->success == 0)
        (void)cursor_take(c, "false");
}

static void read_extras(struct cursor *c, struct audit_fields *f)
{
    char word[16] = "";

    if (cursor_try(c, ",\"request_id\":"))
        read_text(c, f->request_id, sizeof f->request_id);
    if (cursor_try(c, ",\"reason\":"))
        read_text(c, f->reason, sizeof f->reason);
    if (cursor_try(c, ",\"exit_code\":")) {
        bool minus = cursor_try(c, "-");
        uint64_t v = cursor_u64(c, UINT64_C(1) << 31);
        if (v == UINT64_C(1) << 31 && !minus)
            c->bad = true;
        f->has_exit_code = 1;
        f->exit_code = (int32_t)(minus ? -(int64_t)v : (int64_t)v);
    }
    if (cursor_try(c, ",\"severity\":"))
        read_text(c, word, sizeof word);
    while (f->severity < AUDIT_SEVERITIES &&
           strcmp(word, audit_severity_text(f->severity)) != 0)
        f->severity++;
}

int audit_line_read(struct str text, struct audit_line *out)
{
    struct audit_line l = { 0 };
    struct cursor c = { .left = text, .bad = text.n > AUDIT_LINE_MAX };
    AUTO_BUF struct buf again = BUF_INIT(AUDIT_LINE_MAX);

    read_when(&c, &l.f.real_ns);
    read_event(&c, &l.f.event);
    read_or_null(&c, ",\"sandbox_id\":", l.f.sandbox_id, sizeof l.f.sandbox_id);
    read_or_null(&c, ",\"user_id\":", l.f.user_id, sizeof l.f.user_id);
    read_or_null(&c, ",\"agent_id\":", l.f.agent_id, sizeof l.f.agent_id);
    read_or_null(&c, ",\"language\":", l.f.language, sizeof l.f.language);
    read_numbers(&c, &l.f);
    read_or_null(&c, ",\"ip_address\":", l.f.ip_address, sizeof l.f.ip_address);
    read_extras(&c, &l.f);
    (void)cursor_take(&c, ",\"seq\":");
    l.seq = cursor_u64(&c, UINT64_MAX);
    (void)cursor_take(&c, ",\"prev_hash\":");
    cursor_hex(&c, l.prev.byte, sizeof l.prev.byte);
    (void)cursor_take(&c, "}");
    if (!cursor_at_end(&c) || audit_line_write(&l, &again) < 0 ||
        !str_eq(buf_str(&again), text))
        return -EINVAL;
    *out = l;
    return 0;
}
