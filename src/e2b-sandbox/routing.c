/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/routing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/num.h"
#include "codec/url.h"

#define HOST_MAX      255u
#define DECODE_ROUNDS 4

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_id(struct str s)
{
    if (s.n == 0 || s.n > ROUTING_ID_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_id_char(s.p[i]))
            return false;
    return true;
}

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static void refuse(struct routing *out, const char *why)
{
    *out = (struct routing){ .kind = ROUTING_BAD, .why = why };
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* --- Host --- */

/* Lower case, without port and final dot. False if it is too long to be a name. */
static bool read_host(struct str host, char out[HOST_MAX + 1], struct str *name)
{
    size_t n = host.n;

    if (host.n > 0 && host.p[0] == '[') {
        for (n = 0; n < host.n && host.p[n] != ']'; n++)
            ;
        if (n < host.n)
            n++;
    } else {
        (void)str_find(host, ':', &n);
    }
    if (n > HOST_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        out[i] = lower(host.p[i]);
    while (n > 0 && out[n - 1] == '.')
        n--;
    out[n] = 0;
    *name = (struct str){ out, n };
    return true;
}

static bool is_address(struct str name)
{
    struct in_addr v4;
    return name.n == 0 || name.p[0] == '[' || inet_pton(AF_INET, name.p, &v4) == 1;
}

/* May the sandbox headers choose under this name? */
static bool is_own_name(struct str name, struct str label, struct str domain,
                        const struct routing_hosts *own)
{
    if (is_address(name) || domain.n == 0 || str_eq(label, STR("sandbox")))
        return true; /* localhost and service names of a container network have no dot */
    for (size_t i = 0; i < own->n; i++)
        if (str_eq(name, str_from(own->name[i])))
            return true;
    return false;
}

static void take_target(struct str id, struct str port, struct routing *out)
{
    uint64_t v;

    if (!is_id(id)) {
        refuse(out, "the sandbox id must be 1 to 63 of a-z and 0-9");
    } else if (num_parse_u64(port, 1, 65535, &v) < 0) {
        refuse(out, "the sandbox port must be a number from 1 to 65535");
    } else {
        *out = (struct routing){ .kind = ROUTING_SANDBOX, .port = (uint32_t)v };
        (void)str_copy(id, out->id, sizeof out->id); /* is_id: it fits */
    }
}

/* Does the part behind the dash look like one of our ids? Then the part before it was meant to be a port. */
static bool is_full_id(struct str s)
{
    return s.n == 20 && s.p[0] == 'i' && is_id(s);
}

/* --- headers --- */

static unsigned count_header(const struct http1_head *head, const char *name, struct str *value)
{
    unsigned n = 0;

    for (size_t i = 0; i < head->n_headers; i++) {
        if (!str_eq_nocase(head->header[i].name, str_from(name)))
            continue;
        *value = head->header[i].value;
        n++;
    }
    return n;
}

static void by_headers(const struct http1_head *head, bool allowed, struct routing *out)
{
    struct str id = { 0 }, port = { 0 };
    unsigned ids = count_header(head, "E2b-Sandbox-Id", &id);
    unsigned ports = count_header(head, "E2b-Sandbox-Port", &port);

    if (ids == 0 && ports == 0)
        *out = (struct routing){ .kind = ROUTING_CONTROL };
    else if (!allowed)
        refuse(out, "headers choose a sandbox only if Host is localhost, an IP address or "
                    "sandbox.<domain>");
    else if (ids == 0)
        refuse(out, "header E2b-Sandbox-Id is missing beside E2b-Sandbox-Port");
    else if (ports == 0)
        refuse(out, "header E2b-Sandbox-Port is missing beside E2b-Sandbox-Id");
    else if (ids > 1 || ports > 1)
        refuse(out, "headers E2b-Sandbox-Id and E2b-Sandbox-Port may be given once only");
    else
        take_target(id, port, out);
}

void routing_decide(const struct http1_head *head, const struct routing_hosts *own,
                    struct routing *out)
{
    char text[HOST_MAX + 1];
    struct str name, label, domain, port, id;

    if (!read_host(head->host, text, &name)) {
        refuse(out, "Host is longer than a name may be");
        return;
    }
    if (is_address(name)) {
        by_headers(head, true, out);
        return;
    }
    (void)str_cut(name, '.', &label, &domain);
    bool dashed = str_cut(label, '-', &port, &id);
    if (dashed && (is_digits(port) || is_full_id(id)))
        take_target(id, port, out);
    else
        by_headers(head, is_own_name(name, label, domain, own), out);
}

/* --- paths --- */

/* One decoding into *out, with '\' as '/' and in lower case; *again says that another one might change it. */
static int decode_once(struct str in, struct buf *out, bool *again)
{
    size_t at;

    if (url_decode(in, false, out) < 0)
        return -EINVAL;
    for (size_t i = 0; i < out->n; i++) {
        out->p[i] = lower(out->p[i]);
        if (out->p[i] == '\\')
            out->p[i] = '/';
    }
    *again = str_find(buf_str(out), '%', &at);
    return buf_ok(out) ? 0 : -EINVAL;
}

/* The first segment that is left when "", "." and ".." have been taken away. */
static struct str first_segment(struct str path)
{
    struct str first = { 0 }, segment, rest = path;
    unsigned depth = 0;

    while (rest.n > 0) {
        (void)str_cut(rest, '/', &segment, &rest);
        if (segment.n == 0 || str_eq(segment, STR(".")))
            continue;
        if (str_eq(segment, STR(".."))) {
            if (depth > 0)
                depth--;
            continue;
        }
        if (depth == 0)
            first = segment;
        depth++;
    }
    return depth > 0 ? first : (struct str){ 0 };
}

/* Is it the name, or the name and what some parsers cut off? */
static bool is_name(struct str s, const char *name)
{
    struct str word = s;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == ';' || c == '?' || c == '#') {
            word.n = i;
            break;
        }
    }
    return str_eq(word, str_from(name));
}

static bool is_internal_name(struct str s)
{
    static const char *const name[] = { "init",     "freeze", "unfreeze", "collapse",
                                        "fsfreeze", "fsthaw", "upgrade",  "warm" };

    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        if (is_name(s, name[i]))
            return true;
    return false;
}

static bool is_process_service(struct str s)
{
    return is_name(s, "process.process"); /* decode_once has made it lower case */
}

/* Does the path's first segment, however it is spelled, satisfy `is`? */
static int first_segment_is(struct str path, bool (*is)(struct str s))
{
    AUTO_BUF struct buf a = BUF_INIT(HTTP1_TARGET_MAX);
    AUTO_BUF struct buf b = BUF_INIT(HTTP1_TARGET_MAX);
    struct buf *from = &a, *to = &b;
    bool again = false;

    if (decode_once(path, from, &again) < 0)
        return -EINVAL; /* envd would refuse it as well */
    for (int i = 1; i < DECODE_ROUNDS && again; i++) {
        buf_clear(to);
        if (decode_once(buf_str(from), to, &again) < 0)
            break; /* a lone % that is meant as such */
        struct buf *t = from;
        from = to;
        to = t;
    }
    return is(first_segment(buf_str(from)));
}

int routing_is_internal_path(struct str path)
{
    return first_segment_is(path, is_internal_name);
}

int routing_is_process_path(struct str path)
{
    return first_segment_is(path, is_process_service);
}
