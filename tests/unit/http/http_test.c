/* SPDX-License-Identifier: Apache-2.0 */
#include "http_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/time.h>

static void give_up_after_20s(int fd)
{
    const struct timeval limit = { 20, 0 };
    const int on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int test_listen(uint16_t *port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

int test_connect(uint16_t port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    give_up_after_20s(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

int test_connect_begin(uint16_t port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int test_accept(int listen_fd)
{
    struct timeval limit = { 20, 0 };

    assert_int_equal(setsockopt(listen_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    give_up_after_20s(fd);
    return fd;
}

struct http_server *test_start(const struct http_config *cfg, uint16_t *port)
{
    struct http_server *s = NULL;
    struct err e = { 0 };

    assert_int_equal(http_server_start(&s, cfg, test_listen(port), &e), 0);
    return s;
}

void test_send(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += sent;
        n -= (size_t)sent;
    }
}

void test_puts(int fd, const char *s)
{
    test_send(fd, s, strlen(s));
}

static char text[4 * MIB];

const char *test_read_to(int fd, const char *end)
{
    size_t n = 0, end_n = strlen(end);

    while (n < end_n || memcmp(text + n - end_n, end, end_n) != 0) {
        assert_true(n + 1 < sizeof text);
        ssize_t got =
            recv(fd, text + n, 1, 0); /* one at a time: what follows is the next reader's */
        if (got != 1) {
            text[n] = '\0';
            fail_msg("the peer closed after '%s', while waiting for '%s'", text, end);
        }
        n++;
    }
    text[n] = '\0';
    return text;
}

const char *test_read_eof(int fd)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        assert_true(got >= 0);
        if (got == 0)
            break;
        n += (size_t)got;
        assert_true(n + 1 < sizeof text);
    }
    text[n] = '\0';
    return text;
}

void test_expect_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);

    assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
}

void test_wait(sem_t *sem)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_REALTIME, &ts), 0);
    ts.tv_sec += 20;
    assert_int_equal(sem_timedwait(sem, &ts), 0);
}

static char byte_at(uint64_t i)
{
    uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (char)(x >> 56);
}

void test_fill(char *p, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(at + i);
}

size_t test_right(const char *p, size_t n, uint64_t at)
{
    size_t right = 0;

    for (size_t i = 0; i < n; i++)
        right += p[i] == byte_at(at + i);
    return right;
}
