/* SPDX-License-Identifier: Apache-2.0 */
/* A server that relays everything, the client on one side and the upstream on the other, both
 * played by the test. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "codec/http1.h"
#include "http_test.h"

static struct http_server *server;
static uint16_t port, upstream_port;
static int upstream_listener;
static sem_t ended;
static uint64_t ended_up, ended_down;
static uint64_t connect_timeout_ns = 20 * NS_PER_S;
static atomic_bool revoked; /* what begins with /revocable ends */

static bool is_over(void *arg)
{
    return arg != NULL && atomic_load(&revoked);
}

static void on_end(void *arg, unsigned status, uint64_t up, uint64_t down)
{
    (void)status;
    (void)arg;
    ended_up = up;
    ended_down = down;
    (void)sem_post(&ended);
}

static void relay(struct http_conn *c, void *arg)
{
    static const char *const drop[] = { "X-Api-Key", "X-Added", NULL };
    struct http_relay r = {
        .host = STR("upstream:1234"),
        .target = str_eq(http_path(c), STR("/rewrite")) ? STR("/new?x=1") : (struct str){ 0 },
        .add_headers = "X-Added: by us\r\n",
        .drop = drop,
        .connect_timeout_ns = connect_timeout_ns,
        .fail_status = 502,
        .fail_body = STR("{\"code\":502}"),
        .on_end = on_end,
        .is_over = is_over,
        .on_end_arg = str_starts(http_path(c), STR("/revocable")) ? &revoked : NULL,
    };

    (void)arg;
    if (str_eq(http_path(c), STR("/local"))) {
        (void)http_reply(c, 200, NULL, NULL, STR("local"));
        return;
    }
    r.upstream_fd = test_connect_begin(upstream_port);
    if (http_relay(c, &r) != 0)
        (void)http_reply(c, 500, NULL, NULL, STR("no relay"));
}

static int setup(void **state)
{
    struct http_config cfg;

    (void)state;
    http_config_default(&cfg);
    cfg.handler = relay;
    cfg.half_closed_ns = NS_PER_S / 2;
    upstream_listener = test_listen(&upstream_port);
    connect_timeout_ns = 20 * NS_PER_S;
    atomic_store(&revoked, false);
    server = test_start(&cfg, &port);
    return sem_init(&ended, 0, 0);
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop(server, 0);
    (void)close(upstream_listener);
    return sem_destroy(&ended);
}

static unsigned relays(void)
{
    struct http_server_stats stats;

    http_server_get_stats(server, &stats);
    return stats.relays;
}

/* --- heads --- */

static void request_is_rewritten_for_upstream(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(
        fd,
        "POST /rewrite HTTP/1.1\r\nHost: client\r\nX-Api-Key: secret\r\nX-Added: by them\r\n"
        "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
        "Accept: text/*\r\nContent-Length: 4\r\n\r\nbody");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    assert_string_equal(test_read_to(up, "body"),
                        "POST /new?x=1 HTTP/1.1\r\nHost: upstream:1234\r\nAccept: text/*\r\n"
                        "X-Added: by us\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
}

static void answer_is_rewritten_for_the_client_whose_connection_stays(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    for (int i = 0; i < 3; i++) {
        test_puts(fd, "GET /a HTTP/1.1\r\nHost: client\r\n\r\n");
        AUTO_CLOSE int up = test_accept(upstream_listener);
        STARTS(test_read_to(up, "\r\n\r\n"), "GET /a HTTP/1.1\r\n");
        test_puts(
            up,
            "HTTP/1.1 201 Whatever\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n"
            "X-Kept: yes\r\nContent-Length: 5\r\n\r\nhello and more than was promised");
        assert_string_equal(test_read_to(fd, "hello"), "HTTP/1.1 201 Created\r\nX-Kept: yes\r\n"
                                                       "Content-Length: 5\r\n\r\nhello");
        test_wait(&ended);
    }
    assert_true(ended_down > 5);
    test_puts(fd, "GET /local HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    HOLDS(test_read_eof(fd), "local");
}

static void request_behind_a_relayed_one_is_not_for_its_upstream(void **state)
{
    (void)state;
    static const char *const first[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nend",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        AUTO_CLOSE int fd = test_connect(port);
        AUTO_BUF struct buf both = BUF_INIT(4096);
        buf_add_cstr(&both, first[i]);
        buf_add_cstr(&both, "GET /local HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        test_send(fd, both.p, both.n);
        AUTO_CLOSE int up = test_accept(upstream_listener);
        (void)test_read_to(up, i == 0 ? "\r\n\r\n" : i == 1 ? "end" : "\r\n0\r\n\r\n");
        test_puts(up, "HTTP/1.1 204 No Content\r\n\r\n");
        assert_string_equal(test_read_eof(up), "");
        const char *answer = test_read_eof(fd);
        STARTS(answer, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n");
        HOLDS(answer, "local");
    }
}

/* --- bodies --- */

static void chunks_are_made_anew_in_both_directions(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "000005;name=\"v\"\r\nhello\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    HOLDS(test_read_to(up, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n");
    assert_string_equal(test_read_to(up, "hello\r\n"), "5\r\nhello\r\n");
    test_puts(fd, "0\r\nX-Trailer: 1\r\n"); /* the end in a segment of its own */
    test_puts(fd, "\r\n");
    assert_string_equal(test_read_to(up, "\r\n\r\n"), "0\r\n\r\n");
    test_puts(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00A;x\r\n01234");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n");
    assert_string_equal(test_read_to(fd, "01234\r\n"), "5\r\n01234\r\n");
    test_puts(up, "56789\r\n0");
    assert_string_equal(test_read_to(fd, "56789\r\n"), "5\r\n56789\r\n");
    test_puts(up, "\r\nX-Trailer: 1\r\n\r\n");
    assert_string_equal(test_read_to(fd, "0\r\n\r\n"), "0\r\n\r\n");
    test_puts(fd, "GET /local HTTP/1.1\r\nHost: a\r\n\r\n");
    STARTS(test_read_to(fd, "local"), "HTTP/1.1 200 OK\r\n");
}

static void until_close_becomes_chunks_so_that_cutting_it_shows(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    int up = test_accept(upstream_listener);
    (void)test_read_to(up, "\r\n\r\n");
    test_puts(up, "HTTP/1.0 200 OK\r\n\r\nhello");
    HOLDS(test_read_to(fd, "\r\n\r\n"), "Transfer-Encoding: chunked\r\n");
    assert_string_equal(test_read_to(fd, "hello\r\n"), "5\r\nhello\r\n");
    assert_int_equal(close(up), 0);
    assert_string_equal(test_read_to(fd, "0\r\n\r\n"), "0\r\n\r\n");
    test_puts(fd, "GET /local HTTP/1.1\r\nHost: a\r\n\r\n");
    STARTS(test_read_to(fd, "local"), "HTTP/1.1 200 OK\r\n");
}

static void client_of_one_zero_gets_no_chunks(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    HOLDS(test_read_to(up, "\r\n\r\n"), " HTTP/1.1\r\n");
    test_puts(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    assert_string_equal(test_read_eof(fd), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
}

static void answers_without_body_keep_what_they_say_of_one(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    (void)test_read_to(up, "\r\n\r\n");
    test_puts(up, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    assert_string_equal(test_read_to(fd, "\r\n\r\n"),
                        "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    AUTO_CLOSE int again = test_accept(upstream_listener);
    (void)test_read_to(again, "\r\n\r\n");
    test_puts(again, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
    assert_string_equal(test_read_to(fd, "\r\n\r\n"),
                        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
}

static void upstream_says_whether_to_continue(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(
        fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    HOLDS(test_read_to(up, "\r\n\r\n"), "Expect: 100-continue\r\n");
    test_puts(up, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(test_read_to(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    test_puts(fd, "ok");
    (void)test_read_to(up, "ok");
    test_puts(up, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 "
                  "OK\r\nContent-Length: 0\r\n\r\n");
    HOLDS(test_read_to(fd, "Content-Length: 0\r\n\r\n"),
          "\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n");
}

static void early_answer_reaches_a_client_that_is_still_sending(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nsome of it");
    int up = test_accept(upstream_listener);
    (void)test_read_to(up, "some of it");
    test_puts(up, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    assert_int_equal(close(up), 0);
    const char *answer = test_read_eof(fd);
    STARTS(answer, "HTTP/1.1 413 ");
    HOLDS(answer, "Connection: close\r\n");
    HOLDS(answer, "\r\n\r\nno!");
}

static void answer_may_come_while_the_body_is_sent(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    (void)test_read_to(up, "one");
    test_puts(up, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
    (void)test_read_to(fd, "one");
    test_puts(fd, "two");
    (void)test_read_to(up, "two");
    test_puts(up, "two");
    assert_string_equal(test_read_eof(fd), "two");
}

/* --- tunnels --- */

static void upgrade_becomes_a_tunnel_with_two_halves(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                  "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nahead");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    const char *head = test_read_to(up, "\r\n\r\n");
    HOLDS(head, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    HOLDS(head, "Sec-WebSocket-Key: x\r\n");
    test_puts(up, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Accept: y\r\n\r\nfirst");
    head = test_read_to(fd, "\r\n\r\n");
    STARTS(head, "HTTP/1.1 101 Switching Protocols\r\n");
    HOLDS(head, "Upgrade: websocket\r\n");
    HOLDS(head, "Sec-WebSocket-Accept: y\r\n");
    assert_string_equal(test_read_to(fd, "first"), "first");
    assert_string_equal(test_read_to(up, "ahead"), "ahead");
    test_send(fd, "\0\xff\r\n\r\n", 6); /* any bytes */
    char bytes[6];
    assert_int_equal(recv(up, bytes, 6, MSG_WAITALL), 6);
    assert_memory_equal(bytes, "\0\xff\r\n\r\n", 6);
    test_puts(fd, "last words");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_string_equal(test_read_eof(up), "last words"); /* one half is closed ... */
    test_puts(up, "but I go on");
    assert_string_equal(test_read_to(fd, "on"), "but I go on"); /* ... and the other works */
    assert_int_equal(shutdown(up, SHUT_WR), 0);
    assert_string_equal(test_read_eof(fd), "");
    test_wait(&ended);
    assert_int_equal(relays(), 0);
}

static void tunnel_nobody_asked_for_is_refused(void **state)
{
    (void)state;
    static const char *const request[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", /* Connection does not name it */
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
         "Content-Length: 1\r\n\r\nx"),
    };
    for (size_t i = 0; i < ARRAY_LEN(request); i++) {
        AUTO_CLOSE int fd = test_connect(port);
        test_puts(fd, request[i]);
        AUTO_CLOSE int up = test_accept(upstream_listener);
        LACKS(test_read_to(up, "\r\n\r\n"), "pgrade");
        test_puts(up, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        STARTS(test_read_to(fd, "{\"code\":502}"), "HTTP/1.1 502 ");
    }
}

/* --- what goes wrong --- */

static void malformed_answer_of_upstream_is_a_502(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "garbage\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    };
    AUTO_CLOSE int fd = test_connect(port);

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        AUTO_CLOSE int up = test_accept(upstream_listener);
        (void)test_read_to(up, "\r\n\r\n");
        test_puts(up, bad[i]);
        assert_int_equal(shutdown(up, SHUT_WR), 0);
        const char *answer = test_read_to(fd, "{\"code\":502}"); /* and the connection stays */
        STARTS(answer, "HTTP/1.1 502 ");
        HOLDS(answer, "Content-Type: application/json\r\n");
    }
}

static void endless_heads_of_upstream_are_a_502(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        AUTO_CLOSE int fd = test_connect(port);
        test_puts(fd, "GET / HTTP/1.0\r\n\r\n"); /* who gets no 1xx passed on */
        AUTO_CLOSE int up = test_accept(upstream_listener);
        (void)test_read_to(up, "\r\n\r\n");
        const char *piece = i ? "HTTP/1.1 102 Processing\r\n\r\n" : "HTTP/1.1 200 OK and so on";
        for (int k = 0; k < 2000; k++)
            if (send(up, piece, strlen(piece), MSG_NOSIGNAL) < 0)
                break;
        STARTS(test_read_eof(fd), "HTTP/1.1 502 ");
    }
}

static void body_that_breaks_off_cuts_the_client(void **state)
{
    (void)state;
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
        AUTO_CLOSE int fd = test_connect(port);
        test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        int up = test_accept(upstream_listener);
        (void)test_read_to(up, "\r\n\r\n");
        test_puts(up, cut[i]);
        if (i < 2)
            (void)test_read_to(fd, "hello");
        assert_int_equal(close(up), 0);
        LACKS(test_read_eof(fd), "0\r\n\r\n");
        test_wait(&ended);
    }
}

static void refused_connection_is_a_502_at_once(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    (void)close(upstream_listener);
    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    STARTS(test_read_to(fd, "{\"code\":502}"), "HTTP/1.1 502 ");
    upstream_listener = test_listen(&upstream_port);
}

static void connection_that_is_never_made_is_a_502_in_the_end(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    int full[8];
    struct pollfd last = { -1, POLLOUT, 0 };
    size_t n = 0;

    /* Fills the backlog, until one more connection stays half made. */
    assert_int_equal(listen(upstream_listener, 0), 0);
    do {
        last.fd = full[n++] = test_connect_begin(upstream_port);
    } while (n < ARRAY_LEN(full) && poll(&last, 1, 200) > 0);
    connect_timeout_ns = 100 * NS_PER_MS;
    test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    STARTS(test_read_to(fd, "{\"code\":502}"), "HTTP/1.1 502 ");
    while (n > 0)
        (void)close(full[--n]);
}

static void bad_chunk_of_the_client_is_a_400_and_cuts_upstream(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    (void)test_read_to(up, "ok\r\n");
    test_puts(fd, "0x1\r\n");
    STARTS(test_read_eof(fd), "HTTP/1.1 400 ");
    LACKS(test_read_eof(up), "0");
}

static void half_closed_client_gets_the_whole_answer(void **state)
{
    (void)state;
    static const char *const request[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
    };

    for (size_t i = 0; i < ARRAY_LEN(request); i++) {
        AUTO_CLOSE int fd = test_connect(port);
        test_puts(fd, request[i]);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        AUTO_CLOSE int up = test_accept(upstream_listener);
        (void)test_read_to(up, i == 0 ? "\r\n\r\n" : "body");
        test_puts(up, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ");
        (void)test_read_to(fd, "half ");
        test_puts(up, "whole");
        assert_int_equal(shutdown(up, SHUT_WR), 0); /* the other side may do the same */
        assert_string_equal(test_read_eof(fd), "whole");
        test_wait(&ended);
    }
    assert_int_equal(relays(), 0);
}

static void half_closed_client_cannot_send_half_a_request(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);
    test_puts(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    (void)test_read_to(up, "body");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_string_equal(test_read_eof(up),
                        ""); /* at once: upstream is not to take it for whole */
    test_wait(&ended);
    assert_int_equal(relays(), 0);
}

static void client_that_goes_cancels_upstream(void **state)
{
    (void)state;
    static const char *const answer[] = { "",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi" };

    for (size_t i = 0; i < ARRAY_LEN(answer); i++) {
        int fd = test_connect(port);
        test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        AUTO_CLOSE int up = test_accept(upstream_listener);
        (void)test_read_to(up, "\r\n\r\n");
        test_puts(up, answer[i]);
        if (i == 1)
            (void)test_read_to(fd, "hi");
        assert_int_equal(close(fd), 0);
        assert_string_equal(test_read_eof(up), "");
        test_wait(&ended);
    }
    assert_int_equal(relays(), 0);
}

/* --- much --- */

#define MUCH (24u * MIB)

/* An upstream that answers with MUCH bytes, or counts those it gets. */
struct big {
    int listener;
    bool chunked, answers;
    uint64_t right;
};

static void send_much(int fd, bool chunked)
{
    static char piece[100000];
    uint64_t at = 0;

    while (at < MUCH) {
        size_t n = MUCH - at < sizeof piece ? (size_t)(MUCH - at) : sizeof piece;
        char size[16];
        test_fill(piece, n, at);
        (void)snprintf(size, sizeof size, "%zx\r\n", n);
        if (chunked)
            test_puts(fd, size);
        test_send(fd, piece, n);
        if (chunked)
            test_puts(fd, "\r\n");
        at += n;
    }
    if (chunked)
        test_puts(fd, "0\r\n\r\n");
}

static uint64_t count_right(int fd, bool chunked)
{
    static char piece[100000];
    struct http1_chunked decoder = { 0 };
    uint64_t at = 0, right = 0;

    while (at < MUCH || (chunked && !decoder.done)) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0)
            return right;
        size_t used = 0;
        while (used < (size_t)n) {
            struct str data = { piece + used, (size_t)n - used };
            long r = chunked
                         ? http1_chunked_decode(&decoder, piece + used, (size_t)n - used, &data)
                         : (long)data.n;
            if (r <= 0)
                return right;
            right += test_right(data.p, data.n, at);
            at += data.n;
            used += (size_t)r;
        }
    }
    return at == MUCH ? right : 0;
}

static void *big_upstream(void *arg)
{
    struct big *b = arg;
    AUTO_CLOSE int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
    char head[4096], c = 0;
    size_t n = 0;

    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n == sizeof head || recv(fd, &c, 1, 0) != 1)
            return NULL;
        head[n++] = c;
    }
    if (b->answers) {
        const char *start = b->chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       : "HTTP/1.1 200 OK\r\nContent-Length: 25165824\r\n\r\n";
        (void)!send(fd, start, strlen(start), MSG_NOSIGNAL);
        send_much(fd, b->chunked);
    } else {
        b->right = count_right(fd, b->chunked);
        (void)!send(fd, "HTTP/1.1 204 Done\r\n\r\n", 21, MSG_NOSIGNAL);
    }
    return NULL;
}

static void much_arrives_whole_in_both_directions(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct big b = { .listener = upstream_listener, .chunked = i & 1, .answers = i & 2 };
        AUTO_CLOSE int fd = test_connect(port);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, big_upstream, &b), 0);
        if (b.answers) {
            test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (void)test_read_to(fd, "\r\n\r\n");
            b.right = count_right(fd, b.chunked);
        } else {
            test_puts(fd,
                      b.chunked
                          ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 25165824\r\n\r\n");
            send_much(fd, b.chunked);
            STARTS(test_read_to(fd, "\r\n\r\n"), "HTTP/1.1 204 ");
        }
        assert_int_equal(pthread_join(t, NULL), 0);
        assert_int_equal(b.right, MUCH);
        test_wait(&ended);
        assert_true(b.answers ? ended_down > MUCH : ended_up > MUCH);
    }
}

static void reader_that_stands_still_holds_upstream_back(void **state)
{
    (void)state;
    static char piece[65536];
    AUTO_CLOSE int fd = test_connect(port);
    const int small = 65536;
    uint64_t taken = 0;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    test_puts(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    AUTO_CLOSE int up = test_accept(upstream_listener);
    (void)test_read_to(up, "\r\n\r\n");
    test_puts(up, "HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n");
    struct pollfd p = { up, POLLOUT, 0 };
    while (taken < 256u * MIB && poll(&p, 1, 200) > 0) {
        ssize_t n = send(up, piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        taken += n > 0 ? (uint64_t)n : 0;
    }
    assert_true(taken <
                64u * MIB); /* what the kernel's own buffers hold, and a piece of ours */
    assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
    test_wait(&ended);
}

/* --- relays that are ended from outside --- */

/* An answer that has begun and not ended. */
static void begin_stream(const char *path, int *fd, int *up)
{
    *fd = test_connect(port);
    test_puts(*fd, "GET ");
    test_puts(*fd, path);
    test_puts(*fd, " HTTP/1.1\r\nHost: a\r\n\r\n");
    *up = test_accept(upstream_listener);
    (void)test_read_to(*up, "\r\n\r\n");
    test_puts(*up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n");
    (void)test_read_to(*fd, "more\r\n");
}

static void what_is_over_is_cut_when_the_call_returns_and_nothing_else_is(void **state)
{
    AUTO_CLOSE int fd = -1;
    AUTO_CLOSE int up = -1;
    AUTO_CLOSE int other_fd = -1;
    AUTO_CLOSE int other_up = -1;
    AUTO_CLOSE int tunnel_fd = test_connect(port);

    (void)state;
    begin_stream("/revocable/stream", &fd, &up);
    begin_stream("/other", &other_fd, &other_up);
    test_puts(tunnel_fd, "GET /revocable/tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                         "Upgrade: x\r\n\r\n");
    AUTO_CLOSE int tunnel_up = test_accept(upstream_listener);
    (void)test_read_to(tunnel_up, "\r\n\r\n");
    test_puts(tunnel_up,
              "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    (void)test_read_to(tunnel_fd, "\r\n\r\n");
    http_server_end_relays(server); /* nothing is over yet */
    assert_int_equal(relays(), 3);
    atomic_store(&revoked, true);
    http_server_end_relays(server);
    assert_int_equal(relays(), 1);
    assert_int_equal(sem_trywait(&ended), 0); /* no waiting: it has happened */
    assert_int_equal(sem_trywait(&ended), 0);
    test_expect_closed(fd);
    test_expect_closed(tunnel_fd);
    test_expect_closed(up);
    test_expect_closed(tunnel_up);
    test_puts(other_up, "0\r\n\r\n");
    (void)test_read_to(other_fd, "0\r\n\r\n");
}

static void a_relay_that_begins_when_it_is_over_already_carries_nothing(void **state)
{
    (void)state;
    atomic_store(&revoked, true);
    AUTO_CLOSE int fd = test_connect(port);
    test_puts(fd, "GET /revocable HTTP/1.1\r\nHost: a\r\n\r\n");
    test_expect_closed(fd);
    test_wait(&ended);
    AUTO_CLOSE int up = test_accept(upstream_listener); /* the handler had connected already */
    test_expect_closed(up);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(request_is_rewritten_for_upstream),
        T(what_is_over_is_cut_when_the_call_returns_and_nothing_else_is),
        T(a_relay_that_begins_when_it_is_over_already_carries_nothing),
        T(answer_is_rewritten_for_the_client_whose_connection_stays),
        T(request_behind_a_relayed_one_is_not_for_its_upstream),
        T(chunks_are_made_anew_in_both_directions),
        T(until_close_becomes_chunks_so_that_cutting_it_shows),
        T(client_of_one_zero_gets_no_chunks),
        T(answers_without_body_keep_what_they_say_of_one),
        T(upstream_says_whether_to_continue),
        T(early_answer_reaches_a_client_that_is_still_sending),
        T(answer_may_come_while_the_body_is_sent),
        T(upgrade_becomes_a_tunnel_with_two_halves),
        T(tunnel_nobody_asked_for_is_refused),
        T(malformed_answer_of_upstream_is_a_502),
        T(endless_heads_of_upstream_are_a_502),
        T(body_that_breaks_off_cuts_the_client),
        T(refused_connection_is_a_502_at_once),
        T(connection_that_is_never_made_is_a_502_in_the_end),
        T(bad_chunk_of_the_client_is_a_400_and_cuts_upstream),
        T(half_closed_client_gets_the_whole_answer),
        T(half_closed_client_cannot_send_half_a_request),
        T(client_that_goes_cancels_upstream),
        T(much_arrives_whole_in_both_directions),
        T(reader_that_stands_still_holds_upstream_back),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
