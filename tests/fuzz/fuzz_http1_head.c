/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests and responses: whatever is accepted lies within the input, keeps the parser's own rules, and is
 * neither accepted nor refused differently when it arrives in pieces. */
#include "codec/http1.h"

#include "fuzz.h"

typedef int (*parse_fn)(const char *p, size_t n, struct http1_head *h, enum http1_reason *why);

static int parse_response(const char *p, size_t n, struct http1_head *h, enum http1_reason *why)
{
    return http1_parse_response(p, n, false, h, why);
}

static void check_head(const struct http1_head *h, const char *p, size_t n)
{
    FUZZ_CHECK(n <= HTTP1_HEAD_MAX && h->n_headers <= HTTP1_HEADERS_MAX);
    fuzz_check_within(h->method, p, n);
    fuzz_check_within(h->target, p, n);
    fuzz_check_within(h->host, p, n);
    for (size_t i = 0; i < h->n_headers; i++) {
        fuzz_check_within(h->header[i].name, p, n);
        fuzz_check_within(h->header[i].value, p, n);
        FUZZ_CHECK(h->header[i].name.n > 0);
        for (size_t k = 0; k < h->header[i].value.n; k++)
            FUZZ_CHECK(h->header[i].value.p[k] != '\r' && h->header[i].value.p[k] != '\n' &&
                       h->header[i].value.p[k] != 0);
    }
    FUZZ_CHECK(h->framing != HTTP1_CHUNKED || http1_get(h, "content-length").p == NULL ||
               h->is_response);
    FUZZ_CHECK(h->is_response || h->framing != HTTP1_UNTIL_CLOSE);
    FUZZ_CHECK(h->is_response || h->minor == 0 || h->host.n > 0);
}

static void run(parse_fn parse, const char *p, size_t n)
{
    static struct http1_head whole, part;
    enum http1_reason why = HTTP1_OK, part_why = HTTP1_OK;
    int got = parse(p, n, &whole, &why);

    FUZZ_CHECK(got <= (int)n);
    if (got > 0)
        check_head(&whole, p, (size_t)got);
    else
        FUZZ_CHECK(got == 0 || http1_reason_status(why) >= 400);
    for (size_t i = 1; i < n && i < 512; i++) {
        int early = parse(p, i, &part, &part_why);
        if (early == 0)
            continue;
        FUZZ_CHECK(early == got); /* the first verdict is the last */
        FUZZ_CHECK(early > 0 || part_why == why);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(http1_parse_request, (const char *)data, size);
    run(parse_response, (const char *)data, size);
    return 0;
}
