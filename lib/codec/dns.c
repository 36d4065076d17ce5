/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/dns.h"

#include <errno.h>
#include <string.h>

#define HEAD_N         12u
#define CLASS_IN       1u
#define FLAG_QR        0x8000u
#define FLAG_OPCODE    0x7800u
#define FLAG_AA        0x0400u
#define FLAG_TC        0x0200u
#define FLAG_RD        0x0100u
#define FLAG_RA        0x0080u
#define JUMPS_MAX      16u
#define ALIASES_MAX    12u
#define NAME_BYTES_MAX 255u /* of a name in a message, RFC 1035 */
#define TTL_MAX_S      86400u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

/* --- names --- */

static int lower(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c + 32;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : -1;
}

/* Appends a label. False if it has a byte that no host name has, or no room. */
static bool add_label(const uint8_t *p, size_t n, char *out, size_t *at)
{
    if (*at + n + (*at > 0) > DNS_NAME_MAX)
        return false;
    if (*at > 0)
        out[(*at)++] = '.';
    for (size_t i = 0; i < n; i++) {
        int c = lower(p[i]);
        if (c < 0)
            return false;
        out[(*at)++] = (char)c;
    }
    return true;
}

enum walk { WALK_LABEL, WALK_END, WALK_JUMP, WALK_BROKEN };

/* Looks at what is at *pos: a label (its length in *n), a pointer (its target in *n), the end. */
static enum walk look(const uint8_t *p, size_t size, size_t pos, size_t *n)
{
    if (pos >= size)
        return WALK_BROKEN;
    *n = p[pos];
    if (*n == 0)
        return WALK_END;
    if ((*n & 0xc0) == 0)
        return pos + 1 + *n < size ? WALK_LABEL : WALK_BROKEN; /* something must follow it */
    if ((*n & 0xc0) != 0xc0 || pos + 2 > size)
        return WALK_BROKEN;
    *n = get16(p + pos) & 0x3fffu;
    return *n < pos ? WALK_JUMP : WALK_BROKEN; /* only ever backwards: no loops */
}

/* Where a name is being read, and where its first pointer has been met. */
struct walker {
    size_t here, end; /* end: behind the name in the message; 0: no pointer yet */
    unsigned jumps;
};

/* Takes the next label or pointer. 1: there may be more; 0: that was the end; -EBADMSG. */
static int step(const uint8_t *p, size_t size, struct walker *w, bool may_jump, char *out,
                size_t *at, bool *good)
{
    size_t n = 0;

    switch (look(p, size, w->here, &n)) {
    case WALK_LABEL:
        *good = *good && add_label(p + w->here + 1, n, out, at);
        w->here += 1 + n;
        return 1;
    case WALK_JUMP:
        if (!may_jump || ++w->jumps > JUMPS_MAX)
            return -EBADMSG;
        if (w->end == 0)
            w->end = w->here + 2;
        w->here = n;
        return 1;
    case WALK_END:
        return 0;
    case WALK_BROKEN:
        break;
    }
    return -EBADMSG;
}

/* Reads the name at *pos and moves *pos behind it. 0; -EBADMSG if it cannot be followed;
 * -EINVAL if it is whole but no host name (out is "" then). */
static int read_name(const uint8_t *p, size_t size, size_t *pos, bool may_jump,
                     char out[DNS_NAME_MAX + 1])
{
    struct walker w = { .here = *pos };
    size_t at = 0;
    bool good = true;
    int more;

    do {
        more = step(p, size, &w, may_jump, out, &at, &good);
        if (w.jumps == 0 && w.here - *pos > NAME_BYTES_MAX)
            more = -EBADMSG;
    } while (more > 0);
    if (more < 0)
        return more;
    *pos = w.end > 0 ? w.end : w.here + 1;
    out[good ? at : 0] = 0;
    return good && at > 0 ? 0 : -EINVAL;
}

/* --- queries of clients --- */

static int read_question(const uint8_t *p, size_t n, size_t *pos, struct dns_query *q)
{
    size_t begin = *pos;
    int rc = read_name(p, n, pos, false, q->name);

    if (rc == -EBADMSG || n - *pos < 4 || *pos - begin + 4 > sizeof q->question)
        return -EBADMSG;
    q->type = get16(p + *pos);
    uint16_t class = get16(p + *pos + 2);
    *pos += 4;
    q->question_n = *pos - begin;
    memcpy(q->question, p + begin, q->question_n);
    if (class != CLASS_IN)
        return -ENOTSUP;
    return 0; /* a name that is no host name is "": the policy refuses it */
}

int dns_read_query(const uint8_t *p, size_t n, struct dns_query *q)
{
    size_t pos = HEAD_N;

    *q = (struct dns_query){ 0 };
    if (n < HEAD_N)
        return -EPROTO;
    uint16_t flags = get16(p + 2);
    if (flags & FLAG_QR)
        return -EPROTO; /* two servers that answer each other never end */
    q->id = get16(p);
    q->recursion_desired = flags & FLAG_RD;
    if (flags & FLAG_OPCODE)
        return -ENOTSUP;
    if (get16(p + 4) != 1 || get16(p + 6) != 0 || get16(p + 8) != 0 || get16(p + 10) > 1)
        return -EBADMSG;
    int rc = read_question(p, n, &pos, q);
    if (rc < 0) {
        q->question_n = 0;
        return rc;
    }
    if (get16(p + 10) == 0)
        return pos == n ? 0 : -EBADMSG;
    /* One OPT record: root name, type, size, four bytes, options. What it asks for is not done. */
    if (n - pos < 11 || p[pos] != 0 || get16(p + pos + 1) != DNS_OPT ||
        n - pos - 11 != get16(p + pos + 9))
        return -EBADMSG;
    q->edns = true;
    return 0;
}

size_t dns_write_answer(uint8_t *out, const struct dns_query *q, enum dns_rcode rcode,
                        const uint32_t *addr, size_t n, uint32_t ttl_s)
{
    size_t at = HEAD_N;

    if (n > DNS_ADDRESSES_MAX)
        n = DNS_ADDRESSES_MAX;
    memset(out, 0, HEAD_N);
    put16(out, q->id);
    put16(out + 2, (uint16_t)(FLAG_QR | FLAG_RA | (q->recursion_desired ? FLAG_RD : 0) |
                              (unsigned)rcode));
    put16(out + 4, q->question_n > 0);
    put16(out + 6, (uint16_t)n);
    put16(out + 10, q->edns);
    memcpy(out + at, q->question, q->question_n);
    at += q->question_n;
    for (size_t i = 0; i < n; i++, at += 16) {
        put16(out + at, 0xc000 | HEAD_N);
        put16(out + at + 2, DNS_A);
        put16(out + at + 4, CLASS_IN);
        put32(out + at + 6, ttl_s);
        put16(out + at + 10, 4);
        put32(out + at + 12, addr[i]);
    }
    if (q->edns) {
        memset(out + at, 0, 11);
        put16(out + at + 1, DNS_OPT);
        put16(out + at + 3, DNS_MESSAGE_MAX);
        at += 11;
    }
    return at;
}
_Static_assert(HEAD_N + sizeof(struct dns_query) + (size_t)16 * DNS_ADDRESSES_MAX + 11 <
                   DNS_MESSAGE_MAX,
               "the largest answer fits");

/* --- our own queries --- */

size_t dns_write_query(uint8_t *out, uint16_t id, const char *name)
{
    size_t at = HEAD_N, n = strlen(name);

    if (n == 0 || n > DNS_NAME_MAX)
        return 0;
    memset(out, 0, HEAD_N);
    put16(out, id);
    put16(out + 2, FLAG_RD);
    put16(out + 4, 1);
    put16(out + 10, 1);
    while (*name) {
        size_t k = strcspn(name, ".");
        if (k == 0 || k > 63)
            return 0;
        out[at++] = (uint8_t)k;
        memcpy(out + at, name, k);
        at += k;
        name += k;
        if (*name == '.')
            name++;
    }
    out[at++] = 0;
    put16(out + at, DNS_A);
    put16(out + at + 2, CLASS_IN);
    at += 4;
    memset(out + at, 0, 11);
    put16(out + at + 1, DNS_OPT);
    put16(out + at + 3, DNS_MESSAGE_MAX);
    return at + 11;
}

struct record {
    char owner[DNS_NAME_MAX + 1];
    uint16_t type;
    uint32_t ttl_s;
    size_t data, data_n;
};

/* 0 with *r, or -EBADMSG: then nothing behind it can be found. */
static int read_record(const uint8_t *p, size_t n, size_t *pos, struct record *r)
{
    if (read_name(p, n, pos, true, r->owner) == -EBADMSG || n - *pos < 10)
        return -EBADMSG;
    r->type = get16(p + *pos + 2) == 0 || get16(p + *pos + 2) == CLASS_IN ? get16(p + *pos) : 0;
    r->ttl_s = get32(p + *pos + 4);
    if (r->ttl_s > TTL_MAX_S)
        r->ttl_s = TTL_MAX_S;
    r->data_n = get16(p + *pos + 8);
    r->data = *pos + 10;
    if (n - r->data < r->data_n)
        return -EBADMSG;
    *pos = r->data + r->data_n;
    return 0;
}

struct chain {
    char name[ALIASES_MAX][DNS_NAME_MAX + 1]; /* what was asked for, and its aliases */
    size_t n;
};

static bool is_in(const struct chain *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->name[i], name) == 0)
            return true;
    return false;
}

static void take_record(const uint8_t *p, size_t n, const struct record *r, struct chain *c,
                        struct dns_answer *a)
{
    size_t pos = r->data;
    char alias[DNS_NAME_MAX + 1];

    if (!is_in(c, r->owner))
        return;
    if (r->type == DNS_A && r->data_n == 4 && a->n < DNS_ADDRESSES_MAX)
        a->addr[a->n++] = get32(p + r->data);
    else if (r->type == DNS_CNAME && c->n < ALIASES_MAX &&
             read_name(p, n, &pos, true, alias) == 0 && !is_in(c, alias))
        memcpy(c->name[c->n++], alias, sizeof alias);
    else
        return;
    if (r->ttl_s < a->ttl_s)
        a->ttl_s = r->ttl_s;
}

int dns_read_answer(const uint8_t *p, size_t n, uint16_t id, const char *name,
                    struct dns_answer *a)
{
    struct chain chain = { .n = 1 };
    size_t pos = HEAD_N;
    char asked[DNS_NAME_MAX + 1];

    *a = (struct dns_answer){ .ttl_s = TTL_MAX_S };
    if (n < HEAD_N || get16(p) != id || get16(p + 4) != 1)
        return -EPROTO;
    uint16_t flags = get16(p + 2);
    if (!(flags & FLAG_QR) || (flags & FLAG_OPCODE) || strlen(name) > DNS_NAME_MAX)
        return -EPROTO;
    if (read_name(p, n, &pos, false, asked) < 0 || strcmp(asked, name) != 0 || n - pos < 4 ||
        get16(p + pos) != DNS_A || get16(p + pos + 2) != CLASS_IN)
        return -EPROTO;
    pos += 4;
    a->rcode = (enum dns_rcode)(flags & 0xf);
    a->is_cut = flags & FLAG_TC;
    memcpy(chain.name[0], name, strlen(name) + 1);
    for (unsigned i = get16(p + 6); i > 0; i--) {
        struct record r = { 0 };
        if (read_record(p, n, &pos, &r) < 0)
            break;
        take_record(p, n, &r, &chain, a);
    }
    return 0;
}
