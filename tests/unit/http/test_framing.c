/* SPDX-License-Identifier: Apache-2.0 */
/* One server, whose handler echoes: what it takes for requests, and where one ends and the next
 * begins. */
#include <errno.h>
#include <stdatomic.h>

#include "../codec/hostile_framing.h"
#include "http_test.h"

static struct http_server *server;
static uint16_t port;
static atomic_uint handled;

static void echo(struct http_conn *c, void *arg)
{
    AUTO_BUF struct buf body = BUF_INIT(2 * MIB);

    (void)arg;
    atomic_fetch_add(&handled, 1);
    if (str_eq(http_path(c), STR("/unread"))) {
        (void)http_reply(c, 200, NULL, NULL, STR("not read"));
        return;
    }
    if (str_eq(http_path(c), STR("/nothing")))
        return;
    if (str_eq(http_path(c), STR("/204"))) {
        (void)http_reply(c, 204, NULL, "X-A: 1\r\n", STR("dropped"));
        return;
    }
    if (str_eq(http_path(c), STR("/split"))) {
        (void)http_reply(c, 200, NULL, "X-A: 1\r\n\r\nHTTP/1.1 200 OK\r\n", STR(""));
        return;
    }
    if (str_eq(http_path(c), STR("/chunked"))) {
        (void)http_reply_begin(c, 200, "text/plain", NULL, HTTP_LENGTH_UNKNOWN);
        (void)http_write(c, "hello", 5);
        (void)http_write(c, "", 0);
        (void)http_write(c, " world", 6);
        (void)http_reply_end(c);
        return;
    }
    if (str_eq(http_path(c), STR("/short"))) {
        (void)http_reply_begin(c, 200, "text/plain", NULL, 10);
        (void)http_write(c, "hello", 5);
        return;
    }
    int r = http_body_all(c, &body);
    if (r == -EPROTO)
        (void)http_reply(c, 400, NULL, NULL, STR("bad body"));
    else if (r == -EMSGSIZE)
        (void)http_reply(c, 413, NULL, NULL, STR("too much"));
    else if (r == 0)
        (void)http_reply(c, 200, "text/plain", NULL, buf_str(&body));
}

static void error_body(unsigned status, const char *message, struct buf *out, void *arg)
{
    (void)arg;
    buf_addf(out, "{\"code\":%u,\"message\":\"%s!\"}", status, message);
}

static int setup(void **state)
{
    struct http_config cfg;

    (void)state;
    http_config_default(&cfg);
    cfg.handler = echo;
    cfg.error_body = error_body;
    server = test_start(&cfg, &port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop(server, 20 * NS_PER_S);
    return 0;
}

static unsigned answers_in(const char *text)
{
    unsigned n = 0;

    while ((text = strstr(text, "\r\nDate: ")) != NULL) {
        n++;
        text++;
    }
    return n;
}

/* Sends the bytes in two pieces, of which the first has `first` bytes, and wants one answer
 * with that status, and the end. */
static void play(const struct hostile_framing *h, size_t first)
{
    AUTO_CLOSE int fd = test_connect(port);
    unsigned before = atomic_load(&handled);
    char status[32];

    test_send(fd, h->bytes, first);
    if (first < h->n) /* the server may have seen enough, and closed */
        (void)!send(fd, h->bytes + first, h->n - first, MSG_NOSIGNAL);
    const char *answer = test_read_eof(fd);
    (void)snprintf(status, sizeof status, "HTTP/1.1 %u ", h->status);
    if (strncmp(answer, status, strlen(status)) != 0 || answers_in(answer) != 1)
        fail_msg("%s: wanted %u and nothing else, got '%.300s'", h->name, h->status, answer);
    HOLDS(answer, "Connection: close\r\n");
    assert_int_equal(atomic_load(&handled) - before, h->in_body ? 1 : 0);
}

static void every_hostile_framing_gets_its_status_and_then_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostile_framing); i++)
        play(&hostile_framing[i], hostile_framing[i].n);
}

static void and_no_less_if_it_comes_in_two_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostile_framing); i++)
        play(&hostile_framing[i], hostile_framing[i].n - 1);
}

static void nothing_behind_a_refused_head_is_a_request(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    unsigned before = atomic_load(&handled);

    test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"
                  "xGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(answers_in(test_read_eof(fd)), 1);
    assert_int_equal(atomic_load(&handled), before);
}

static void refusal_has_the_body_that_the_program_makes(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET / HTTP/3.0\r\n");
    const char *answer = test_read_eof(fd);
    HOLDS(answer, "Content-Type: application/json\r\n");
    HOLDS(answer, "\r\n\r\n{\"code\":505,\"message\":\"");
    HOLDS(answer, "!\"}");
}

static void last_chunk_may_come_later(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    test_puts(fd, "0\r\n");
    test_puts(fd, "\r\n");
    HOLDS(test_read_to(fd, "hello"), "Content-Length: 5\r\n");
    /* and its CRLF is not the start of the next request */
    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    STARTS(test_read_to(fd, "abc"), "HTTP/1.1 200 OK\r\n");
}

static void last_chunk_may_come_after_the_answer(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd,
              "POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n");
    STARTS(test_read_to(fd, "not read"), "HTTP/1.1 200 OK\r\n");
    test_puts(fd, "{}\r\n0\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    STARTS(test_read_to(fd, "abc"), "HTTP/1.1 200 OK\r\n");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(
        fd,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
        "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n"
        "GET / HTTP/1.1\r\nHost: a\r\nX: this is...\r\n\r\n" /* 40 bytes of body */
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast");
    HOLDS(test_read_to(fd, "one"), "200 OK");
    HOLDS(test_read_to(fd, "two"), "200 OK");
    HOLDS(test_read_to(fd, "not read"), "200 OK");
    HOLDS(test_read_eof(fd), "\r\n\r\nlast");
}

static void thousand_pipelined_requests_get_thousand_answers(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    AUTO_BUF struct buf all = BUF_INIT(MIB);

    for (unsigned i = 0; i < 1000; i++)
        buf_addf(&all, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n%s\r\n%04u",
                 i == 999 ? "Connection: close\r\n" : "", i);
    test_send(fd, all.p, all.n);
    const char *answer = test_read_eof(fd);
    assert_int_equal(answers_in(answer), 1000);
    HOLDS(answer, "\r\n\r\n0000");
    HOLDS(answer, "\r\n\r\n0999");
}

static void head_may_come_byte_by_byte(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    const char *request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

    for (const char *p = request; *p; p++)
        test_send(fd, p, 1);
    STARTS(test_read_to(fd, "hi"), "HTTP/1.1 200 OK\r\n");
}

static void continue_is_sent_to_who_waits_for_it_and_only_when_the_body_is_wanted(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(
        fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(test_read_to(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    test_puts(fd, "ok");
    STARTS(test_read_to(fd, "ok"), "HTTP/1.1 200 OK\r\n");
    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n"
                  "Expect: 100-continue\r\n\r\n");
    const char *answer = test_read_eof(fd); /* the body may come or not: only closing is safe */
    STARTS(answer, "HTTP/1.1 413 ");
    HOLDS(answer, "Connection: close\r\n");
}

static void head_request_has_a_length_and_no_body(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "HEAD /unread HTTP/1.1\r\nHost: a\r\n\r\n");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Content-Length: 8\r\n");
    test_puts(fd, "HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n");
    test_puts(fd, "GET /unread HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    STARTS(test_read_eof(fd), "HTTP/1.1 200 OK\r\n");
}

static void no_content_has_neither_length_nor_body(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /204 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *answer = test_read_eof(fd);
    STARTS(answer, "HTTP/1.1 204 No Content\r\nDate: ");
    HOLDS(answer, "X-A: 1\r\n");
    LACKS(answer, "Content-Length");
    LACKS(answer, "dropped");
}

static void stream_is_chunked_for_one_one_and_until_close_for_one_zero(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    AUTO_CLOSE int old = test_connect(port);

    test_puts(fd, "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n");
    assert_string_equal(test_read_to(fd, "0\r\n\r\n"),
                        "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    test_puts(old, "GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const char *answer = test_read_eof(old);
    LACKS(answer, "chunked");
    HOLDS(answer, "Connection: close\r\n");
    HOLDS(answer, "\r\n\r\nhello world");
}

static void one_zero_keeps_the_connection_only_if_it_asks(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /unread HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    HOLDS(test_read_to(fd, "not read"), "Connection: keep-alive\r\n");
    test_puts(fd, "GET /unread HTTP/1.0\r\n\r\n");
    HOLDS(test_read_eof(fd), "Connection: close\r\n");
}

static void handler_that_does_not_answer_is_a_500(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    STARTS(test_read_eof(fd), "HTTP/1.1 500 ");
}

static void header_that_would_end_the_head_is_not_sent(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *answer = test_read_eof(fd);
    STARTS(answer, "HTTP/1.1 500 ");
    assert_int_equal(answers_in(answer), 1);
}

static void answer_that_breaks_off_does_not_look_whole(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd,
              "GET /short HTTP/1.1\r\nHost: a\r\n\r\nGET /unread HTTP/1.1\r\nHost: a\r\n\r\n");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Content-Length: 10\r\n");
    STARTS(test_read_to(fd, "hello"), "hello");
    test_expect_closed(fd);
}

static void body_above_the_maximum_is_refused_however_it_is_framed(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    AUTO_CLOSE int chunked = test_connect(port);
    AUTO_FREE char *much = calloc(1, MIB);

    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    STARTS(test_read_eof(fd), "HTTP/1.1 413 ");
    test_puts(chunked,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
    assert_non_null(much);
    test_send(chunked, much, MIB);
    test_puts(chunked, "\r\n1\r\nx\r\n0\r\n\r\n");
    STARTS(test_read_eof(chunked), "HTTP/1.1 413 ");
}

static void answer_survives_a_body_that_nobody_read(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    AUTO_FREE char *much = calloc(1, 4 * MIB);

    /* Closing at once would reset the connection, and the answer with it. */
    assert_non_null(much);
    test_puts(fd, "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
    test_send(fd, much, 4 * MIB);
    HOLDS(test_read_eof(fd), "\r\n\r\nnot read");
}

static void end_inside_a_head_is_answered(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET / HTTP/1.1\r\nHo");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    STARTS(test_read_eof(fd), "HTTP/1.1 400 ");
}

static void unix_sockets_are_served_too(void **state)
{
    (void)state;
    struct http_config cfg;
    struct http_server *s = NULL;
    struct err e = { 0 };
    struct {
        sa_family_t family;
        char name[10]; /* abstract: a NUL, then the name */
    } address = { AF_UNIX, "" };
    const struct sockaddr *sa = (const struct sockaddr *)(const void *)&address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.name + 1, sizeof address.name - 1, "%08x", (unsigned)getpid());
    assert_int_equal(bind(listener, sa, sizeof address), 0);
    assert_int_equal(listen(listener, 5), 0);
    http_config_default(&cfg);
    cfg.handler = echo;
    assert_int_equal(http_server_start(&s, &cfg, listener, &e), 0);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, sa, sizeof address), 0);
    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    STARTS(test_read_to(fd, "hi"), "HTTP/1.1 200 OK\r\n");
    http_server_stop(s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_hostile_framing_gets_its_status_and_then_the_end),
        cmocka_unit_test(and_no_less_if_it_comes_in_two_pieces),
        cmocka_unit_test(nothing_behind_a_refused_head_is_a_request),
        cmocka_unit_test(refusal_has_the_body_that_the_program_makes),
        cmocka_unit_test(last_chunk_may_come_later),
        cmocka_unit_test(last_chunk_may_come_after_the_answer),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(thousand_pipelined_requests_get_thousand_answers),
        cmocka_unit_test(head_may_come_byte_by_byte),
        cmocka_unit_test(continue_is_sent_to_who_waits_for_it_and_only_when_the_body_is_wanted),
        cmocka_unit_test(head_request_has_a_length_and_no_body),
        cmocka_unit_test(no_content_has_neither_length_nor_body),
        cmocka_unit_test(stream_is_chunked_for_one_one_and_until_close_for_one_zero),
        cmocka_unit_test(one_zero_keeps_the_connection_only_if_it_asks),
        cmocka_unit_test(handler_that_does_not_answer_is_a_500),
        cmocka_unit_test(header_that_would_end_the_head_is_not_sent),
        cmocka_unit_test(answer_that_breaks_off_does_not_look_whole),
        cmocka_unit_test(body_above_the_maximum_is_refused_however_it_is_framed),
        cmocka_unit_test(answer_survives_a_body_that_nobody_read),
        cmocka_unit_test(end_inside_a_head_is_answered),
        cmocka_unit_test(unix_sockets_are_served_too),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
