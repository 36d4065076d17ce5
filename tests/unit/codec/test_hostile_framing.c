/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile_framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"

/* What a server does with bytes that arrive `step` at a time; each arrival is a fresh copy, so that
 * nothing can lean on bytes that are not there yet. */
struct outcome {
    int head;                 /* of http1_parse_request */
    enum http1_reason reason; /* if head is -1 */
    long body;                /* -1, or the bytes that the chunk decoder took */
};

static long feed_chunks(struct http1_chunked *d, const char *p, size_t n)
{
    struct str data;
    size_t used = 0;

    while (used < n && !d->done) {
        long r = http1_chunked_decode(d, p + used, n - used, &data);
        if (r < 0)
            return -1;
        assert_true(r > 0 && (size_t)r <= n - used);
        used += (size_t)r;
    }
    return (long)used;
}

static struct outcome feed(const struct hostile_framing *f, size_t step)
{
    struct outcome o = { 0, HTTP1_OK, 0 };
    struct http1_chunked chunked = { 0 };
    struct http1_head head;
    size_t fed = 0;

    while (fed < f->n && o.head == 0) {
        fed = f->n - fed < step ? f->n : fed + step;
        AUTO_FREE char *copy = malloc(fed);
        assert_non_null(copy);
        memcpy(copy, f->bytes, fed);
        o.head = http1_parse_request(copy, fed, &head, &o.reason);
    }
    if (o.head <= 0)
        return o;
    o.body = feed_chunks(&chunked, f->bytes + o.head, fed - (size_t)o.head);
    while (fed < f->n && o.body >= 0 && !chunked.done) {
        size_t n = f->n - fed < step ? f->n - fed : step;
        o.body = feed_chunks(&chunked, f->bytes + fed, n);
        fed += n;
    }
    return o;
}

static void is_refused(const struct hostile_framing *f, size_t step)
{
    struct outcome o = feed(f, step);

    if (f->in_body) {
        assert_true(o.head > 0);
        assert_int_equal(o.body, -1);
        return;
    }
    assert_int_equal(o.head, -1);
    assert_string_equal(http1_reason(o.reason), http1_reason(f->reason));
    assert_int_equal(o.reason, f->reason);
    assert_int_equal(http1_reason_status(o.reason), f->status);
}

static void is_refused_at_once_and_byte_by_byte(void **state)
{
    const struct hostile_framing *f = *state;

    is_refused(f, f->n);
    is_refused(f, 1);
    is_refused(f, 7);
}

int main(void)
{
    static struct hostile_framing
        c[ARRAY_LEN(hostile_framing)]; /* cmocka wants them writable */
    struct CMUnitTest tests[ARRAY_LEN(hostile_framing)];

    for (size_t i = 0; i < ARRAY_LEN(hostile_framing); i++) {
        c[i] = hostile_framing[i];
        tests[i] = (struct CMUnitTest){ .name = c[i].name,
                                        .test_func = is_refused_at_once_and_byte_by_byte,
                                        .initial_state = &c[i] };
    }
    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("hostile framing", tests, NULL, NULL);
}
