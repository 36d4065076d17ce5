/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "codec/http1_pass.h"

#define FILL 34000u

static const struct http1_set one[] = { { { "Authorization", 13 }, { "Bearer s", 8 } } };

static int set_one(void *arg, const struct http1_head *head, struct http1_pass_order *order)
{
    (void)arg;
    if (!str_eq(head->host, STR("a.b")))
        return -EACCES;
    *order = (struct http1_pass_order){ one, 1 };
    return 0;
}

/* What passes of a whole input; *rc is what the step said. */
static const char *pass(const char *in, int *rc)
{
    static char p[FILL + HTTP1_GROWTH_MAX];
    struct http1_pass s = { 0 };
    size_t n = strlen(in), ok = 0;

    memcpy(p, in, n);
    *rc = http1_pass_step(&s, p, &n, sizeof p - 1, &ok, set_one, NULL);
    p[ok] = 0;
    return p;
}

static void a_header_is_set_once_and_replaces_the_clients(void **state)
{
    (void)state;
    int rc;
    assert_string_equal(pass("GET /x HTTP/1.1\r\nhost:a.b\r\nauthorization: mine\r\n"
                             "AUTHORIZATION: again\r\nAccept: */*\r\n\r\n",
                             &rc),
                        "GET /x HTTP/1.1\r\nhost: a.b\r\nAccept: */*\r\n"
                        "Authorization: Bearer s\r\n\r\n");
    assert_int_equal(rc, 0);
}

static void each_request_of_a_connection_is_rewritten_and_bodies_are_not(void **state)
{
    (void)state;
    int rc;
    assert_string_equal(
        pass("POST /1 HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\n\r\nabc"
             "POST /2 HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nxyz\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a.b\r\n\r\n",
             &rc),
        "POST /1 HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\nAuthorization: Bearer "
        "s\r\n\r\nabc"
        "POST /2 HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n"
        "Authorization: Bearer s\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"
        "GET /3 HTTP/1.1\r\nHost: a.b\r\nAuthorization: Bearer s\r\n\r\n");
    assert_int_equal(rc, 0);
}

static void a_second_request_to_another_host_does_not_pass(void **state)
{
    (void)state;
    int rc;
    assert_string_equal(
        pass("GET / HTTP/1.1\r\nHost: a.b\r\n\r\nGET / HTTP/1.1\r\nHost: c.d\r\n\r\n", &rc),
        "GET / HTTP/1.1\r\nHost: a.b\r\nAuthorization: Bearer s\r\n\r\n");
    assert_int_equal(rc, -EACCES);
}

static void what_would_undo_or_show_a_header_does_not_pass(void **state)
{
    static const char *const in[] = {
        "TRACE / HTTP/1.1\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b\r\nConnection: close, Authorization\r\n\r\n",
        ("GET / HTTP/1.1\r\nHost: a.b\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"),
        "POST / HTTP/1.1\r\nHost: a.b\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost : a.b\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        int rc;
        assert_string_equal(pass(in[i], &rc), "");
        assert_int_equal(rc, -EACCES);
    }
}

static void another_protocol_passes_only_when_the_server_agrees(void **state)
{
    static const char in[] = "GET / HTTP/1.1\r\nHost: a.b\r\nConnection: upgrade\r\n"
                             "Upgrade: websocket\r\n\r\nframes";
    (void)state;
    for (int agrees = 0; agrees < 2; agrees++) {
        char p[4096 + HTTP1_GROWTH_MAX];
        struct http1_pass s = { 0 };
        size_t n = sizeof in - 1, ok = 0;
        memcpy(p, in, n);
        assert_int_equal(http1_pass_step(&s, p, &n, sizeof p, &ok, set_one, NULL), 0);
        assert_int_equal(n - ok, strlen("frames"));
        http1_pass_saw(&s, agrees ? "HTTP/1.1 101 Sw" : "HTTP/1.1 200 OK", 15);
        int rc = http1_pass_step(&s, p, &n, sizeof p, &ok, set_one, NULL);
        assert_true(rc == 0 && (agrees ? ok == n : n - ok == strlen("frames")));
    }
}

static void a_head_waits_for_room_and_then_passes(void **state)
{
    static const char in[] =
        "GET /1 HTTP/1.1\r\nHost: a.b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.b\r\n\r\n";
    (void)state;
    char p[100]; /* one head with what is set on it, and the other as it is */
    struct http1_pass s = { 0 };
    size_t n = sizeof in - 1, ok = 0;
    memcpy(p, in, n);
    assert_int_equal(http1_pass_step(&s, p, &n, sizeof p, &ok, set_one, NULL), 0);
    assert_int_equal(s.n_heads, 1);
    memmove(p, p + ok, n - ok);
    n -= ok;
    ok = 0;
    assert_int_equal(http1_pass_step(&s, p, &n, sizeof p, &ok, set_one, NULL), 0);
    assert_int_equal(s.n_heads, 2);
    assert_int_equal(ok, n);
}

static void the_largest_head_with_the_largest_headers_fits(void **state)
{
    static char p[FILL + HTTP1_GROWTH_MAX], value[800];
    static struct http1_set many[HTTP1_SET_MAX];
    static char names[HTTP1_SET_MAX][20];
    char in[HTTP1_HEAD_MAX];
    (void)state;
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < HTTP1_SET_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "X-Name-%zu", i);
        many[i] = (struct http1_set){ str_from(names[i]), { value, 800 } };
    }
    int k = snprintf(in, sizeof in, "GET / HTTP/1.1\r\nHost: a.b\r\n");
    size_t n = (size_t)k;
    while (n + 330 < sizeof in && n < 29000) {
        memset(in + n, 'a', 300);
        in[n + 10] = ':';
        memcpy(in + n + 300, "\r\n", 2);
        n += 302;
    }
    memcpy(in + n, "\r\n", 2);
    struct http1_head head;
    enum http1_reason why;
    assert_true(http1_parse_request(in, n + 2, &head, &why) > 0);
    assert_true(http1_rewrite(&head, many, HTTP1_SET_MAX, p, sizeof p) > (long)n + 16000);
    assert_int_equal(http1_rewrite(&head, many, HTTP1_SET_MAX, p, n), -EMSGSIZE);
}

static void names_and_values_that_frame_or_break_lines_are_none(void **state)
{
    static const char *const bad[] = { "Host",
                                       "content_length",
                                       "Transfer-Encoding",
                                       "connection",
                                       "TE",
                                       "Upgrade",
                                       "Expect",
                                       "",
                                       "a b",
                                       "a:",
                                       "a\r\nb",
                                       "\xc3\xa4" };
    char longest[HTTP1_SET_VALUE_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(http1_set_name_ok(str_from(bad[i])));
    memset(longest, 'a', sizeof longest);
    assert_true(http1_set_name_ok(STR("X-Api-Key")));
    assert_true(http1_set_name_ok((struct str){ longest, HTTP1_SET_NAME_MAX }));
    assert_false(http1_set_name_ok((struct str){ longest, HTTP1_SET_NAME_MAX + 1 }));
    assert_true(http1_set_value_ok((struct str){ longest, HTTP1_SET_VALUE_MAX }));
    assert_false(http1_set_value_ok((struct str){ longest, HTTP1_SET_VALUE_MAX + 1 }));
    assert_false(http1_set_value_ok(STR("a\r\nX: y")));
    assert_false(http1_set_value_ok(STR(" a")));
    assert_false(http1_set_value_ok(STR("")));
    assert_false(http1_set_value_ok(STR("\xc3\xa4")));
    assert_true(http1_set_value_ok(STR("a b\tc")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_set_once_and_replaces_the_clients),
        cmocka_unit_test(each_request_of_a_connection_is_rewritten_and_bodies_are_not),
        cmocka_unit_test(a_second_request_to_another_host_does_not_pass),
        cmocka_unit_test(what_would_undo_or_show_a_header_does_not_pass),
        cmocka_unit_test(another_protocol_passes_only_when_the_server_agrees),
        cmocka_unit_test(a_head_waits_for_room_and_then_passes),
        cmocka_unit_test(the_largest_head_with_the_largest_headers_fits),
        cmocka_unit_test(names_and_values_that_frame_or_break_lines_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
