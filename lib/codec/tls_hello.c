/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/tls_hello.h"

#include <errno.h>
#include <string.h>

#define RECORD_HEAD      5u
#define RECORD_HANDSHAKE 22u
#define RECORD_MAX       16384u
#define MESSAGE_HEAD     4u
#define CLIENT_HELLO     1u
#define EXT_SERVER_NAME  0u
#define EXT_ENCRYPTED    0xfe0du
#define NAME_TYPE_HOST   0u
#define EXTENSIONS_MAX   64u

/* What is left of a message, front to back; every read is bounded by it. */
struct rest {
    const uint8_t *p;
    size_t n;
    bool broken; /* a read went past the end: everything after it is empty */
};

static struct rest take(struct rest *r, size_t n)
{
    if (r->broken || n > r->n) {
        r->broken = true;
        return (struct rest){ .broken = true };
    }
    struct rest part = { r->p, n, false };
    r->p += n;
    r->n -= n;
    return part;
}

static size_t take_number(struct rest *r, size_t bytes)
{
    struct rest part = take(r, bytes);
    size_t v = 0;

    for (size_t i = 0; i < part.n; i++)
        v = v << 8 | part.p[i];
    return v;
}

/* A vector: its length in `bytes` bytes, then so many. */
static struct rest take_vector(struct rest *r, size_t bytes)
{
    size_t n = take_number(r, bytes);
    return take(r, n);
}

static bool is_host_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.';
}

static int read_server_name(struct rest ext, struct tls_hello *h)
{
    struct rest list = take_vector(&ext, 2);
    size_t type = take_number(&list, 1);
    struct rest name = take_vector(&list, 2);

    if (ext.broken || ext.n > 0 || list.broken || list.n > 0 || type != NAME_TYPE_HOST ||
        name.n == 0 || name.n > TLS_NAME_MAX)
        return -EPROTO;
    for (size_t i = 0; i < name.n; i++) {
        if (!is_host_char(name.p[i]))
            return -EPROTO;
        h->name[i] = (char)name.p[i];
    }
    h->name[name.n] = 0;
    return 0;
}

static int read_extension(size_t type, struct rest body, struct tls_hello *h)
{
    if (type == EXT_ENCRYPTED)
        h->encrypted = true;
    return type == EXT_SERVER_NAME ? read_server_name(body, h) : 0;
}

static int read_extensions(struct rest all, struct tls_hello *h)
{
    uint16_t seen[EXTENSIONS_MAX];
    size_t n = 0;

    while (all.n > 0) {
        size_t type = take_number(&all, 2);
        struct rest body = take_vector(&all, 2);
        if (all.broken || n == EXTENSIONS_MAX)
            return -EPROTO;
        for (size_t i = 0; i < n; i++)
            if (seen[i] == type)
                return -EPROTO;
        seen[n++] = (uint16_t)type;
        if (read_extension(type, body, h) < 0)
            return -EPROTO;
    }
    return 0;
}

static int read_message(struct rest m, struct tls_hello *h)
{
    size_t version = take_number(&m, 2);
    (void)take(&m, 32); /* random */
    struct rest session = take_vector(&m, 1);
    struct rest suites = take_vector(&m, 2);
    struct rest methods = take_vector(&m, 1);

    if (m.broken || version >> 8 != 3 || session.n > 32 || suites.n < 2 || suites.n % 2 ||
        methods.n < 1)
        return -EPROTO;
    if (m.n == 0)
        return 0; /* no extensions, so no name */
    struct rest extensions = take_vector(&m, 2);
    if (m.broken || m.n > 0)
        return -EPROTO;
    return read_extensions(extensions, h);
}

/* The length of the payload of the record at p (n > 0 bytes are there), 0 if its head is not whole,
 * or -EPROTO. */
static long record_length(const uint8_t *p, size_t n)
{
    if (p[0] != RECORD_HANDSHAKE || (n > 1 && p[1] != 3))
        return -EPROTO;
    if (n < RECORD_HEAD)
        return 0;
    size_t k = (size_t)p[3] << 8 | p[4];
    return k == 0 || k > RECORD_MAX ? -EPROTO : (long)k;
}

/* Is the message whole with its first `have` bytes? */
static bool is_whole(const uint8_t *m, size_t have)
{
    return have >= MESSAGE_HEAD &&
           have - MESSAGE_HEAD >= ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Joins the payload of the records. The bytes of the message so far, or -EPROTO. */
static long join(const uint8_t *p, size_t n, uint8_t *scratch)
{
    size_t at = 0, have = 0;

    while (at < n && have < TLS_HELLO_MAX && !is_whole(scratch, have)) {
        long length = record_length(p + at, n - at);
        if (length <= 0)
            return length < 0 ? length : (long)have;
        at += RECORD_HEAD;
        /* The rest of it may be still to come. */
        size_t k = least(least((size_t)length, n - at), TLS_HELLO_MAX - have);
        memcpy(scratch + have, p + at, k);
        have += k;
        at += k;
    }
    return (long)have;
}

int tls_hello_read(const uint8_t *p, size_t n, uint8_t *scratch, struct tls_hello *h)
{
    struct tls_hello out = { 0 };
    long have = join(p, n, scratch);

    if (have < 0 || (have > 0 && scratch[0] != CLIENT_HELLO))
        return -EPROTO;
    if (have < (long)MESSAGE_HEAD)
        return 0;
    size_t want = (size_t)scratch[1] << 16 | (size_t)scratch[2] << 8 | scratch[3];
    if (want > TLS_HELLO_MAX - MESSAGE_HEAD)
        return -EPROTO;
    if ((size_t)have - MESSAGE_HEAD < want)
        return n < TLS_HELLO_MAX ? 0 : -EPROTO;
    if (read_message((struct rest){ scratch + MESSAGE_HEAD, want, false }, &out) < 0)
        return -EPROTO;
    *h = out;
    return 1;
}
