/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "codec/http1.h"
#include "loop.h"

static void pair(struct netd_pair *p, const char *key, const char *value)
{
    p->key_n = (uint16_t)strlen(key);
    p->value_n = (uint16_t)strlen(value);
    memcpy(p->text, key, p->key_n);
    memcpy(p->text + p->key_n, value, p->value_n);
}

static struct netd_pair pairs[2];

static struct box make(void)
{
    struct box b = { .used = true,
                     .id = { "i0000000000000000000" },
                     .template = "base",
                     .pair = pairs,
                     .n_pairs = 2 };
    pair(&pairs[0], "k", "v\"");
    pair(&pairs[1], "a b", "x");
    return b;
}

/* The status; the body goes to `body`, which has 512. */
static unsigned ask(struct box *b, const char *request, uint64_t now_ns, char *body)
{
    AUTO_BUF struct buf out = BUF_INIT(65536);
    struct http1_head head;
    enum http1_reason why;

    assert_true(http1_parse_request(request, strlen(request), &head, &why) > 0);
    metadata_answer(b, &head, now_ns, &out);
    struct http1_head answer;
    int n = http1_parse_response(out.p, out.n, false, &answer, &why);
    assert_true(n > 0);
    assert_int_equal(answer.content_length, out.n - (size_t)n);
    assert_true(out.n - (size_t)n < 512);
    memcpy(body, out.p + n, out.n - (size_t)n + 1);
    return answer.status;
}

#define PUT_TOKEN(ttl)                                                                         \
    "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-metadata-token-ttl-seconds: " ttl "\r\n\r" \
    "\n"

static void a_session_lasts_as_long_as_was_asked_and_not_longer(void **state)
{
    struct box b = make();
    char token[512], body[512], request[1024];

    (void)state;
    assert_int_equal(ask(&b, PUT_TOKEN("60"), 1000, token), 200);
    assert_int_equal(strlen(token), TOKEN_TEXT);
    (void)snprintf(request, sizeof request,
                   "GET /latest/meta-data/sandbox-id HTTP/1.1\r\nHost: x\r\nX-metadata-token: "
                   "%s\r\n\r\n",
                   token);
    assert_int_equal(ask(&b, request, 1000, body), 200);
    assert_string_equal(body, "i0000000000000000000");
    assert_int_equal(ask(&b, request, 999 + 60 * NS_PER_S, body), 200);
    assert_int_equal(ask(&b, request, 1000 + 60 * NS_PER_S, body), 401);
    struct box other = make();
    assert_int_equal(ask(&other, request, 1000, body), 401);
}

static void sessions_are_given_by_put_with_a_lifetime_only(void **state)
{
    struct box b = make();
    char body[512];

    (void)state;
    assert_int_equal(ask(&b, PUT_TOKEN("0"), 0, body), 400);
    assert_int_equal(ask(&b, PUT_TOKEN("21600"), 0, body), 200);
    assert_int_equal(ask(&b, PUT_TOKEN("21601"), 0, body), 400);
    assert_int_equal(ask(&b, PUT_TOKEN("+1"), 0, body), 400);
    assert_int_equal(ask(&b, "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n\r\n", 0, body),
                     400);
    assert_int_equal(ask(&b,
                         "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: y\r\n"
                         "X-metadata-token-ttl-seconds: 1\r\n\r\n",
                         0, body),
                     400);
    assert_int_equal(ask(&b, "GET /latest/api/token HTTP/1.1\r\nHost: x\r\n\r\n", 0, body),
                     405);
    assert_int_equal(ask(&b, "POST /latest/meta-data HTTP/1.1\r\nHost: x\r\n\r\n", 0, body),
                     405);
    assert_int_equal(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", 0, body),
                     400);
}

static void the_tree_has_what_it_lists(void **state)
{
    static const struct {
        const char *path, *accept;
        unsigned status;
        const char *body;
    } v[] = {
        { "/", "", 200, "latest/" },
        { "/latest", "", 200, "meta-data/" },
        { "/latest/meta-data", "", 200, "metadata/\nsandbox-id\ntemplate" },
        { "/latest/meta-data/", "application/json", 200,
          "{\"sandbox-id\":\"i0000000000000000000\",\"template\":\"base\",\"metadata\":{\"k\":"
          "\"v\\\"\",\"a b\":\"x\"}}" },
        { "/latest/meta-data/template", "", 200, "base" },
        { "/latest/meta-data/template", "application/json", 200, "\"base\"" },
        { "/latest/meta-data/metadata", "", 200, "k\na b" },
        { "/latest/meta-data/metadata/a%20b", "", 200, "x" },
        { "/latest/meta-data/metadata/zz", "", 404, NULL },
        { "/latest/meta-data/metadata/%", "", 404, NULL },
        { "/latest/meta-data/../meta-data", "", 404, NULL },
        { "/latest/meta-dat", "", 404, NULL },
        { "/latest/dynamic", "", 404, NULL },
    };
    struct box b = make();
    char token[512], body[512], request[1024];

    (void)state;
    assert_int_equal(ask(&b, PUT_TOKEN("60"), 0, token), 200);
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        (void)snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\nX-aws-ec2-metadata-token: "
                       "%s\r\n\r\n",
                       v[i].path, v[i].accept[0] ? v[i].accept : "*/*", token);
        unsigned status = ask(&b, request, 0, body);
        if (status != v[i].status || (v[i].body && strcmp(body, v[i].body) != 0))
            fail_msg("%s: %u '%s'", v[i].path, status, body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_lasts_as_long_as_was_asked_and_not_longer),
        cmocka_unit_test(sessions_are_given_by_put_with_a_lifetime_only),
        cmocka_unit_test(the_tree_has_what_it_lists),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
