/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way to a server, with headers set on them: what passes is what a strict server
 * reads as the same requests, each with exactly our values, however the bytes arrive. The first
 * byte of the input chooses the size of the pieces. */
#include <string.h>

#include "base/auto.h"
#include "codec/http1_pass.h"

#include "fuzz.h"

#define FILL_MAX (HTTP1_HEAD_MAX + 1024u)
#define SENT_MAX (1u << 20)

static const struct http1_set set[] = { { { "Authorization", 13 }, { "Bearer secret", 13 } },
                                        { { "X-Api-Key", 9 }, { "k", 1 } } };

static int decide(void *arg, const struct http1_head *head, struct http1_pass_order *order)
{
    (void)arg;
    if (!str_eq(head->host, STR("a.b")))
        return -1;
    *order = (struct http1_pass_order){ set, ARRAY_LEN(set) };
    return 0;
}

struct sent {
    char p[SENT_MAX];
    size_t n;
    uint64_t heads;
};

static void run(const char *data, size_t size, size_t piece, struct sent *out)
{
    static char p[FILL_MAX + HTTP1_GROWTH_MAX];
    struct http1_pass s = { 0 };
    size_t n = 0, ok = 0, at = 0;

    out->n = 0;
    out->heads = 0;
    while (at < size) {
        size_t room = n < FILL_MAX ? FILL_MAX - n : 0;
        size_t k = size - at < piece ? size - at : piece;
        if (k > room)
            k = room;
        memcpy(p + n, data + at, k);
        n += k;
        at += k;
        size_t before = n;
        int rc = http1_pass_step(&s, p, &n, sizeof p, &ok, decide, NULL);
        FUZZ_CHECK(ok <= n && n <= sizeof p && n + HTTP1_HEAD_MAX >= before);
        if (rc < 0)
            break;
        if (ok == 0 && k == 0)
            break; /* it waits for the server's word about an upgrade, or for more */
        if (out->n + ok > SENT_MAX)
            break;
        memcpy(out->p + out->n, p, ok);
        out->n += ok;
        out->heads = s.n_heads;
        memmove(p, p + ok, n - ok);
        n -= ok;
        ok = 0;
    }
}

static unsigned count(const struct http1_head *h, const char *name)
{
    unsigned n = 0;

    for (size_t i = 0; i < h->n_headers; i++)
        n += str_eq_nocase(h->header[i].name, str_from(name));
    return n;
}

/* Reads what was sent as the server would. */
static void check_sent(const struct sent *out)
{
    size_t at = 0;
    uint64_t heads = 0;

    while (at < out->n) {
        struct http1_head h;
        enum http1_reason why;
        int n = http1_parse_request(out->p + at, out->n - at, &h, &why);
        FUZZ_CHECK(n > 0 || why == HTTP1_TOO_MANY_HEADERS);
        if (n <= 0)
            return; /* with ours there are more than our own parser takes */
        FUZZ_CHECK(str_eq(h.host, STR("a.b")) && !str_eq(h.method, STR("TRACE")));
        for (size_t i = 0; i < ARRAY_LEN(set); i++)
            FUZZ_CHECK(count(&h, set[i].name.p) == 1 &&
                       str_eq(http1_get(&h, set[i].name.p), set[i].value));
        FUZZ_CHECK(count(&h, "X_Api_Key") == 0 &&
                   !http1_has_token(&h, "Connection", "authorization"));
        heads++;
        at += (size_t)n;
        if (h.framing == HTTP1_LENGTH) {
            uint64_t left = out->n - at;
            at += (size_t)(h.content_length < left ? h.content_length : left);
        }
        struct http1_chunked c = { 0 };
        while (h.framing == HTTP1_CHUNKED && !c.done && at < out->n) {
            struct str body;
            long k = http1_chunked_decode(&c, out->p + at, out->n - at, &body);
            FUZZ_CHECK(k >= 0);
            if (k == 0)
                return;
            at += (size_t)k;
        }
    }
    FUZZ_CHECK(heads == out->heads);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sent whole, parts;

    if (size < 1 || size > SENT_MAX / 8)
        return 0;
    run((const char *)data + 1, size - 1, FILL_MAX, &whole);
    check_sent(&whole);
    run((const char *)data + 1, size - 1, 1u + data[0], &parts);
    check_sent(&parts);
    /* A refusal may come earlier in one of them; what both have passed is the same. */
    size_t n = whole.n < parts.n ? whole.n : parts.n;
    FUZZ_CHECK(memcmp(whole.p, parts.p, n) == 0);
    return 0;
}
