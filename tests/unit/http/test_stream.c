/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that do not fit into memory, files and upgraded connections. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "http/client.h"
#include "http_test.h"

#define MUCH (24u * MIB)

static struct http_server *server;
static uint16_t port;
static int file;

static void count_upload(struct http_conn *c)
{
    static char piece[70001]; /* one upload at a time */
    char text[64];
    uint64_t at = 0, right = 0;
    long n;

    http_body_set_max(c, UINT64_MAX);
    while ((n = http_body_read(c, piece, sizeof piece)) > 0) {
        right += test_right(piece, (size_t)n, at);
        at += (uint64_t)n;
    }
    (void)snprintf(text, sizeof text, "%llu of %llu, end %ld", (unsigned long long)right,
                   (unsigned long long)at, n);
    (void)http_reply(c, 200, NULL, NULL, str_from(text));
}

static void send_download(struct http_conn *c, uint64_t length)
{
    static char piece[70001];

    (void)http_reply_begin(c, 200, NULL, NULL, length);
    for (uint64_t at = 0; at < MUCH;) {
        size_t n = MUCH - at < sizeof piece ? (size_t)(MUCH - at) : sizeof piece;
        test_fill(piece, n, at);
        if (http_write(c, piece, n) != 0)
            return;
        at += n;
    }
    (void)http_reply_end(c);
}

static void echo_raw(struct http_conn *c)
{
    char bytes[100];
    long n;

    if (http_upgrade(c, "Connection: upgrade\r\nUpgrade: echo\r\n") != 0)
        return;
    while ((n = http_raw_read(c, bytes, sizeof bytes)) > 0)
        if (http_raw_write(c, bytes, (size_t)n) != 0)
            return;
    (void)http_raw_write(c, "bye", 3);
}

static void handler(struct http_conn *c, void *arg)
{
    struct str path = http_path(c);

    (void)arg;
    if (str_eq(path, STR("/up"))) {
        count_upload(c);
    } else if (str_eq(path, STR("/down"))) {
        send_download(c, http_query(c).n > 0 ? MUCH : HTTP_LENGTH_UNKNOWN);
    } else if (str_eq(path, STR("/file"))) {
        (void)http_reply_begin(c, 200, NULL, NULL,
                               http_query(c).n > 0 ? MUCH - 1000 : HTTP_LENGTH_UNKNOWN);
        (void)http_write_file(c, file, 1000, MUCH - 1000);
        (void)http_reply_end(c);
    } else if (str_eq(path, STR("/file-too-short"))) {
        (void)http_reply_begin(c, 200, NULL, NULL, 2 * MUCH);
        if (http_write_file(c, file, 0, 2 * MUCH) == -EIO)
            (void)http_reply_end(c);
    } else if (str_eq(path, STR("/proc"))) { /* which sendfile cannot read from */
        AUTO_CLOSE int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
        (void)http_reply_begin(c, 200, NULL, NULL, HTTP_LENGTH_UNKNOWN);
        (void)http_write_file(c, fd, 0, 5);
        (void)http_reply_end(c);
    } else {
        echo_raw(c);
    }
}

static int setup(void **state)
{
    struct http_config cfg;
    AUTO_FREE char *all = malloc(MUCH);

    (void)state;
    assert_non_null(all);
    test_fill(all, MUCH, 0);
    file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(file, all, MUCH), MUCH);
    http_config_default(&cfg);
    cfg.handler = handler;
    server = test_start(&cfg, &port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop(server, 20 * NS_PER_S);
    return close(file);
}

static void send_pattern(int fd, bool chunked)
{
    static char piece[100000];

    for (uint64_t at = 0; at < MUCH;) {
        char size[16];
        size_t n = MUCH - at < sizeof piece ? (size_t)(MUCH - at) : sizeof piece;
        test_fill(piece, n, at);
        (void)snprintf(size, sizeof size, "%zX\r\n", n);
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

static void much_is_uploaded_whole(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    for (int chunked = 0; chunked < 2; chunked++) { /* twice on one connection */
        test_puts(fd, chunked
                          ? "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          : "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 25165824\r\n\r\n");
        send_pattern(fd, chunked);
        HOLDS(test_read_to(fd, "end 0"), "\r\n\r\n25165824 of 25165824, end 0");
    }
}

/* Reads a response with our own client and counts right bytes. */
static uint64_t download(struct http_client *c, const char *target, uint64_t at)
{
    static char piece[50000];
    struct err e = { 0 };
    uint64_t right = 0;
    long n;

    assert_int_equal(http_client_send(c, "GET", target, "a", NULL, STR(""), &e), 0);
    assert_int_equal(http_client_head(c, false, &e), 0);
    assert_int_equal(c->head.status, 200);
    while ((n = http_client_read(c, piece, sizeof piece, &e)) > 0) {
        right += test_right(piece, (size_t)n, at);
        at += (uint64_t)n;
    }
    assert_int_equal(n, 0);
    return right;
}

static void much_is_downloaded_whole(void **state)
{
    (void)state;
    struct http_client c;

    http_client_init(&c, test_connect(port), 20 * NS_PER_S);
    assert_int_equal(download(&c, "/down", 0), MUCH);
    assert_true(http_client_reusable(&c));
    assert_int_equal(download(&c, "/down?length", 0), MUCH);
    assert_int_equal(download(&c, "/file", 1000), MUCH - 1000);
    assert_int_equal(download(&c, "/file?length", 1000), MUCH - 1000);
    assert_true(http_client_reusable(&c));
    http_client_fini(&c);
}

static void file_that_is_shorter_than_said_cuts_the_connection(void **state)
{
    (void)state;
    struct http_client c;
    struct err e = { 0 };
    AUTO_BUF struct buf body = BUF_INIT(4 * MUCH);

    http_client_init(&c, test_connect(port), 20 * NS_PER_S);
    assert_int_equal(http_client_send(&c, "GET", "/file-too-short", "a", NULL, STR(""), &e), 0);
    assert_int_equal(http_client_head(&c, false, &e), 0);
    assert_int_equal(http_client_body(&c, &body, &e), -ECONNRESET);
    assert_int_equal(body.n, MUCH);
    http_client_fini(&c);
}

static void file_that_sendfile_cannot_read_is_sent_all_the_same(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(fd, "GET /proc HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)test_read_to(fd, "\r\n\r\n");
    STARTS(test_read_to(fd, "0\r\n\r\n"), "5\r\ntest_");
}

static void upgraded_connection_carries_bytes_and_both_ends(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = test_connect(port);

    test_puts(
        fd,
        "GET /raw HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nahead");
    STARTS(test_read_to(fd, "\r\n\r\n"), "HTTP/1.1 101 Switching Protocols\r\n");
    assert_string_equal(test_read_to(fd, "ahead"), "ahead");
    test_puts(fd, "GET / HTTP/1.1\n");
    assert_string_equal(test_read_to(fd, "\n"), "GET / HTTP/1.1\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_string_equal(test_read_eof(fd), "bye");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_is_uploaded_whole),
        cmocka_unit_test(much_is_downloaded_whole),
        cmocka_unit_test(file_that_is_shorter_than_said_cuts_the_connection),
        cmocka_unit_test(file_that_sendfile_cannot_read_is_sent_all_the_same),
        cmocka_unit_test(upgraded_connection_carries_bytes_and_both_ends),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
