/* SPDX-License-Identifier: Apache-2.0 */
/* What a server does when there is too much of something, or nothing for too long. Each test
 * has a server of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "http_test.h"

static sem_t entered, leave, finished;
static atomic_long outcome;
static atomic_uint done_status;

static void handler(struct http_conn *c, void *arg)
{
    static char zeros[65536];
    struct str path = http_path(c);
    long r = 0;

    (void)arg;
    if (str_eq(path, STR("/block"))) { /* until the test lets it go */
        (void)sem_post(&entered);
        (void)sem_wait(&leave);
    } else if (str_eq(path, STR("/wait"))) { /* until the peer is gone */
        (void)sem_post(&entered);
        r = http_wait(c, -1, 20 * NS_PER_S);
    } else if (str_eq(path, STR("/read"))) {
        r = http_body_read(c, zeros, 1000);
        while (r > 0)
            r = http_body_read(c, zeros, 1000);
    } else if (str_eq(path, STR("/endless"))) {
        r = http_reply_begin(c, 200, NULL, NULL, HTTP_LENGTH_UNKNOWN);
        while (r == 0)
            r = http_write(c, zeros, sizeof zeros);
    }
    atomic_store(&outcome, r);
    if (!http_replied(c))
        (void)http_reply(c, 200, NULL, NULL, STR("done"));
    (void)sem_post(&finished);
}

static bool is_urgent(const struct http1_head *head, void *arg)
{
    (void)arg;
    return str_eq(head->target, STR("/urgent"));
}

static void on_done(const struct http1_head *head, unsigned status, uint64_t took_ns, void *arg)
{
    (void)head;
    (void)took_ns;
    (void)arg;
    atomic_store(&done_status, status);
}

static struct http_config config(void)
{
    struct http_config cfg;

    http_config_default(&cfg);
    cfg.handler = handler;
    cfg.is_urgent = is_urgent;
    cfg.on_done = on_done;
    return cfg;
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&outcome, 1);
    atomic_store(&done_status, 1);
    return sem_init(&entered, 0, 0) | sem_init(&leave, 0, 0) | sem_init(&finished, 0, 0);
}

static int teardown(void **state)
{
    (void)state;
    return sem_destroy(&entered) | sem_destroy(&leave) | sem_destroy(&finished);
}

static void get(int fd, const char *path)
{
    char request[128];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    test_puts(fd, request);
}

static void
more_requests_than_threads_are_told_to_come_back_but_urgent_ones_served(void **state)
{
    (void)state;
    struct http_config cfg = config();
    struct http_server_stats stats;
    uint16_t port;
    int fd[3];

    cfg.max_threads = 3;
    cfg.reserved_threads = 1;
    struct http_server *s = test_start(&cfg, &port);
    for (int i = 0; i < 3; i++)
        fd[i] = test_connect(port);
    get(fd[0], "/block");
    get(fd[1], "/block");
    test_wait(&entered);
    test_wait(&entered);
    get(fd[2], "/");
    const char *answer = test_read_eof(fd[2]);
    STARTS(answer, "HTTP/1.1 503 ");
    HOLDS(answer, "Retry-After: 1\r\n");
    assert_int_equal(atomic_load(&done_status), 503);
    http_server_get_stats(s, &stats);
    assert_int_equal(stats.refused_busy, 1);
    assert_int_equal(stats.busy_threads, 2);
    AUTO_CLOSE int urgent = test_connect(port);
    get(urgent, "/urgent");
    STARTS(test_read_to(urgent, "done"), "HTTP/1.1 200 ");
    (void)sem_post(&leave);
    (void)sem_post(&leave);
    STARTS(test_read_to(fd[0], "done"), "HTTP/1.1 200 ");
    STARTS(test_read_to(fd[1], "done"), "HTTP/1.1 200 ");
    get(fd[0], "/"); /* and there is room again */
    STARTS(test_read_to(fd[0], "done"), "HTTP/1.1 200 ");
    for (int i = 0; i < 3; i++)
        (void)close(fd[i]);
    http_server_stop(s, 0);
}

static void one_thread_serves_one_connection_after_another(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;

    cfg.max_threads = 1;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int fd = test_connect(port);
    for (int i = 0; i < 200; i++) { /* the slot is free as soon as the answer is here */
        get(fd, "/");
        STARTS(test_read_to(fd, "done"), "HTTP/1.1 200 ");
    }
    http_server_stop(s, 0);
}

static void connection_above_the_maximum_takes_the_place_of_the_longest_idle_one(void **state)
{
    (void)state;
    for (int per_ip = 0; per_ip < 2; per_ip++) {
        struct http_config cfg = config();
        uint16_t port;
        cfg.max_conns = per_ip ? 100 : 2;
        cfg.max_conns_per_ip = per_ip ? 2 : 0;
        struct http_server *s = test_start(&cfg, &port);
        AUTO_CLOSE int first = test_connect(port);
        get(first, "/");
        (void)test_read_to(first, "done");
        AUTO_CLOSE int second = test_connect(port);
        get(second, "/");
        (void)test_read_to(second, "done");
        AUTO_CLOSE int third = test_connect(port);
        get(third, "/");
        STARTS(test_read_to(third, "done"), "HTTP/1.1 200 ");
        test_expect_closed(first);
        get(second, "/"); /* which is as good as before */
        STARTS(test_read_to(second, "done"), "HTTP/1.1 200 ");
        http_server_stop(s, 0);
    }
}

static void connection_above_the_maximum_is_closed_if_all_are_at_work(void **state)
{
    (void)state;
    for (int per_ip = 0; per_ip < 2; per_ip++) {
        struct http_config cfg = config();
        uint16_t port;
        cfg.max_conns = per_ip ? 100 : 1;
        cfg.max_conns_per_ip = per_ip ? 1 : 0;
        struct http_server *s = test_start(&cfg, &port);
        AUTO_CLOSE int first = test_connect(port);
        get(first, "/block");
        (void)sem_wait(&entered);
        AUTO_CLOSE int second = test_connect(port);
        test_expect_closed(second);
        (void)sem_post(&leave);
        STARTS(test_read_to(first, "done"), "HTTP/1.1 200 ");
        http_server_stop(s, 0);
    }
}

static void server_out_of_descriptors_turns_away_and_recovers(void **state)
{
    (void)state;
    struct http_config cfg = config();
    struct rlimit old, low;
    uint16_t port;
    int filler[1024];
    size_t n = 0;
    struct http_server *s = test_start(&cfg, &port);

    AUTO_CLOSE int warm = test_connect(port);
    get(warm, "/");
    (void)test_read_to(warm, "done");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < ARRAY_LEN(filler) && (filler[n] = dup(warm)) >= 0)
        n++;
    int client =
        filler[--n]; /* this number becomes the client's; none is left for the server */
    (void)close(client);
    client = test_connect(port);
    test_expect_closed(client);
    (void)close(client);
    while (n > 0)
        (void)close(filler[--n]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    AUTO_CLOSE int again = test_connect(port);
    get(again, "/");
    STARTS(test_read_to(again, "done"), "HTTP/1.1 200 ");
    http_server_stop(s, 0);
}

static void slow_head_is_a_408_and_silence_is_just_closed(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;

    cfg.head_timeout_ns = 50 * NS_PER_MS;
    cfg.idle_timeout_ns = 50 * NS_PER_MS;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int slow = test_connect(port);
    AUTO_CLOSE int silent = test_connect(port);
    AUTO_CLOSE int idle = test_connect(port);
    get(idle, "/");
    test_puts(slow, "GET / HTTP/1.1\r\nHo");
    STARTS(test_read_eof(slow), "HTTP/1.1 408 ");
    assert_string_equal(test_read_eof(silent), "");
    HOLDS(test_read_eof(idle), "done");
    http_server_stop(s, 0);
}

static void stalled_body_ends_its_handler(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;

    cfg.io_timeout_ns = 50 * NS_PER_MS;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int fd = test_connect(port);
    test_puts(fd, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    test_wait(&finished);
    assert_int_equal(atomic_load(&outcome), -ETIMEDOUT);
    STARTS(test_read_eof(fd), "HTTP/1.1 200 "); /* what the handler said, and the end */
    http_server_stop(s, 0);
}

static void body_that_breaks_off_ends_its_handler(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;
    struct http_server *s = test_start(&cfg, &port);
    int fd = test_connect(port);

    test_puts(
        fd, "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    (void)close(fd);
    test_wait(&finished);
    assert_int_equal(atomic_load(&outcome), -ECONNRESET);
    http_server_stop(s, 0);
}

static void reader_that_stands_still_ends_its_handler(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;

    cfg.io_timeout_ns = 50 * NS_PER_MS;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int fd = test_connect(port);
    get(fd, "/endless");
    test_wait(&finished);
    assert_int_equal(atomic_load(&outcome), -ETIMEDOUT);
    http_server_stop(s, 0);
    assert_int_equal(atomic_load(&done_status), 0);
}

static void peer_that_goes_wakes_a_waiting_handler(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;
    struct http_server *s = test_start(&cfg, &port);
    int fd = test_connect(port);

    get(fd, "/wait");
    test_wait(&entered);
    (void)close(fd);
    test_wait(&finished);
    assert_int_equal(atomic_load(&outcome), -EPIPE);
    http_server_stop(s, 0);
}

static void stop_closes_what_is_idle_and_ends_who_waits(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int silent = test_connect(port);
    AUTO_CLOSE int idle = test_connect(port);
    AUTO_CLOSE int half = test_connect(port);
    AUTO_CLOSE int waits = test_connect(port);

    get(idle, "/");
    (void)test_read_to(idle, "done");
    test_puts(half, "GET / HT");
    get(waits, "/wait");
    test_wait(&entered);
    http_server_stop(s, 0);
    test_expect_closed(silent);
    test_expect_closed(idle);
    test_expect_closed(half);
    test_wait(&finished);
    assert_int_equal(atomic_load(&outcome), -EPIPE);
    test_expect_closed(waits);
    assert_true(test_connect_begin(port) < 0 || atomic_load(&done_status) == 0);
}

static void *stop_gracefully(void *server)
{
    http_server_stop(server, 20 * NS_PER_S);
    return NULL;
}

static void stop_lets_a_handler_finish_its_answer(void **state)
{
    (void)state;
    struct http_config cfg = config();
    uint16_t port;
    pthread_t t;
    struct http_server *s = test_start(&cfg, &port);
    AUTO_CLOSE int idle = test_connect(port);
    AUTO_CLOSE int busy = test_connect(port);

    get(busy, "/block");
    test_wait(&entered);
    assert_int_equal(pthread_create(&t, NULL, stop_gracefully, s), 0);
    test_expect_closed(idle); /* so it is stopping */
    (void)sem_post(&leave);
    const char *answer = test_read_eof(busy);
    STARTS(answer, "HTTP/1.1 200 ");
    HOLDS(answer, "Connection: close\r\n");
    HOLDS(answer, "done");
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void threads_without_work_end(void **state)
{
    (void)state;
    struct http_config cfg = config();
    struct http_server_stats stats;
    uint16_t port;
    int fd[8];

    cfg.thread_idle_ns = 20 * NS_PER_MS;
    struct http_server *s = test_start(&cfg, &port);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        fd[i] = test_connect(port);
        get(fd[i], "/block");
        test_wait(&entered);
    }
    http_server_get_stats(s, &stats);
    assert_int_equal(stats.threads, ARRAY_LEN(fd));
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        (void)sem_post(&leave);
    do {
        (void)poll(NULL, 0, 1);
        http_server_get_stats(s, &stats);
    } while (stats.threads > 0);
    get(fd[0], "/"); /* and come back */
    (void)test_read_to(fd[0], "done");
    (void)test_read_to(fd[0], "done");
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        (void)close(fd[i]);
    http_server_stop(s, 0);
}

static void impossible_configurations_are_refused(void **state)
{
    (void)state;
    struct http_config cfg = config();
    struct http_server *s = NULL;
    struct err e = { 0 };
    uint16_t port;
    AUTO_CLOSE int fd = test_listen(&port);

    cfg.max_threads = cfg.reserved_threads = 4;
    assert_int_equal(http_server_start(&s, &cfg, fd, &e), -EINVAL);
    cfg = config();
    cfg.handler = NULL;
    assert_int_equal(http_server_start(&s, &cfg, fd, &e), -EINVAL);
    cfg = config();
    assert_int_equal(http_server_start(&s, &cfg, -1, &e), -EBADF);
    assert_null(s);
    http_server_stop(NULL, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(more_requests_than_threads_are_told_to_come_back_but_urgent_ones_served),
        T(one_thread_serves_one_connection_after_another),
        T(connection_above_the_maximum_takes_the_place_of_the_longest_idle_one),
        T(connection_above_the_maximum_is_closed_if_all_are_at_work),
        T(server_out_of_descriptors_turns_away_and_recovers),
        T(slow_head_is_a_408_and_silence_is_just_closed),
        T(stalled_body_ends_its_handler),
        T(body_that_breaks_off_ends_its_handler),
        T(reader_that_stands_still_ends_its_handler),
        T(peer_that_goes_wakes_a_waiting_handler),
        T(stop_closes_what_is_idle_and_ends_who_waits),
        T(stop_lets_a_handler_finish_its_answer),
        T(threads_without_work_end),
        T(impossible_configurations_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
