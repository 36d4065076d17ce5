/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a server that the test plays over a socket pair. */
#include "http/client.h"

#include <errno.h>

#include "http_test.h"

static struct http_client client;
static int peer;
static struct err e;

static int setup(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    http_client_init(&client, pair[0], 20 * NS_PER_S);
    peer = pair[1];
    e = (struct err){ 0 };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_fini(&client);
    if (peer >= 0)
        (void)close(peer);
    return 0;
}

static void end_of_peer(void)
{
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
}

/* The body of what the peer said, or the failure. */
static const char *body(void)
{
    static struct buf out = { .max = 4096 };

    buf_clear(&out);
    int r = http_client_head(&client, false, &e);
    if (r == 0)
        r = http_client_body(&client, &out, &e);
    return r == 0 ? buf_cstr(&out) : strerror(-r);
}

static void request_is_what_was_asked_for(void **state)
{
    (void)state;
    assert_int_equal(
        http_client_send(&client, "GET", "/a?b=c", "h:1", "X-Y: z\r\n", STR(""), &e), 0);
    assert_string_equal(test_read_to(peer, "\r\n\r\n"),
                        "GET /a?b=c HTTP/1.1\r\nHost: h:1\r\nX-Y: z\r\n\r\n");
    assert_int_equal(http_client_send(&client, "POST", "/", "h", NULL, STR(""), &e), 0);
    assert_string_equal(test_read_to(peer, "\r\n\r\n"),
                        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(http_client_send(&client, "DELETE", "/", "h", NULL, STR("{}"), &e), 0);
    assert_string_equal(test_read_to(peer, "{}"),
                        "DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
}

static void bodies_end_where_their_framing_says(void **state)
{
    (void)state;
    test_puts(peer,
              "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    assert_string_equal(body(), "first");
    assert_true(http_client_reusable(&client));
    test_puts(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n3\r\nsec\r\n3;x\r\nond\r\n0\r\n\r\n");
    assert_string_equal(body(), "second");
    assert_true(http_client_reusable(&client));
    test_puts(peer, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_string_equal(body(), "");
    assert_int_equal(client.head.status, 204);
    test_puts(peer, "HTTP/1.1 200 OK\r\n\r\nlast");
    end_of_peer();
    assert_string_equal(body(), "last");
    assert_false(http_client_reusable(&client));
}

static void answer_to_head_has_no_body(void **state)
{
    (void)state;
    test_puts(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_int_equal(http_client_head(&client, true, &e), 0);
    char byte;
    assert_int_equal(http_client_read(&client, &byte, 1, &e), 0);
}

static void head_stays_readable_while_the_body_is_read(void **state)
{
    (void)state;
    test_puts(peer, "HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\nhello");
    assert_string_equal(body(), "hello");
    assert_true(str_eq(http1_get(&client.head, "x-name"), STR("value")));
}

static void half_an_answer_is_a_failure(void **state)
{
    (void)state;
    static const char *const half[] = {
        "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    };
    for (size_t i = 0; i < ARRAY_LEN(half); i++) {
        test_puts(peer, half[i]);
        end_of_peer();
        assert_string_equal(body(), strerror(ECONNRESET));
        assert_int_equal(e.code, ECONNRESET);
        (void)teardown(NULL);
        (void)setup(NULL);
    }
}

static void malformed_answer_is_a_failure_that_says_why(void **state)
{
    (void)state;
    test_puts(peer, "HTTP/1.1 200 OK\nA: b\r\n\r\n");
    assert_string_equal(body(), strerror(EPROTO));
    STARTS(e.text, "bad response: ");
    (void)teardown(NULL);
    (void)setup(NULL);
    test_puts(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n");
    assert_string_equal(body(), strerror(EPROTO));
}

static void more_than_was_announced_makes_the_connection_useless(void **state)
{
    (void)state;
    test_puts(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!");
    assert_string_equal(body(), "hi");
    assert_false(http_client_reusable(&client));
}

static void silence_is_a_timeout(void **state)
{
    (void)state;
    client.io_timeout_ns = 10 * NS_PER_MS;
    assert_string_equal(body(), strerror(ETIMEDOUT));
}

static void peer_that_is_gone_is_an_error_and_not_a_signal(void **state)
{
    (void)state;
    (void)close(peer);
    peer = -1;
    assert_int_equal(http_client_send(&client, "GET", "/", "h", NULL, STR(""), &e), -EPIPE);
}

static void urls_are_split_or_refused(void **state)
{
    (void)state;
    char host[256], prefix[256];
    unsigned port;
    static const char *const bad[] = {
        "https://a/",  "ftp://a/",      "a:80",           "http://",       "http:///x",
        "http://a:0/", "http://a:/",    "http://a:99999", "http://u@a/",   "http://a/?x",
        "http://[::1", "http://[::1]x", "http://a b/",    "http://a:1:2/",
    };

    assert_int_equal(http_client_parse_url("http://127.0.0.1:7070", host, &port, prefix, &e),
                     0);
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 7070);
    assert_string_equal(prefix, "");
    assert_int_equal(http_client_parse_url("http://[::1]/a/b/", host, &port, prefix, &e), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 80);
    assert_string_equal(prefix, "/a/b");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http_client_parse_url(bad[i], host, &port, prefix, &e) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
    (void)http_client_parse_url("https://a", host, &port, prefix, &e);
    HOLDS(e.text, "https is not supported");
}

static void connecting_finds_who_listens_and_says_who_does_not(void **state)
{
    (void)state;
    uint16_t port;
    int listener = test_listen(&port);
    AUTO_CLOSE int fd = http_client_connect("127.0.0.1", port, 20 * NS_PER_S, &e);

    assert_true(fd >= 0);
    (void)close(listener);
    assert_int_equal(http_client_connect("127.0.0.1", port, 20 * NS_PER_S, &e), -ECONNREFUSED);
    HOLDS(e.text, "connect to 127.0.0.1 port ");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(request_is_what_was_asked_for),
        T(bodies_end_where_their_framing_says),
        T(answer_to_head_has_no_body),
        T(head_stays_readable_while_the_body_is_read),
        T(half_an_answer_is_a_failure),
        T(malformed_answer_is_a_failure_that_says_why),
        T(more_than_was_announced_makes_the_connection_useless),
        T(silence_is_a_timeout),
        T(peer_that_is_gone_is_an_error_and_not_a_signal),
        T(urls_are_split_or_refused),
        T(connecting_finds_who_listens_and_says_who_does_not),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
