/* SPDX-License-Identifier: Apache-2.0 */
/* http_test: what the tests of http share: a server on a loopback port, and peers that send and
 * expect bytes as they are. All sockets of the tests give up after 20 s, so that a broken
 * server fails a test instead of hanging it. */
#pragma once
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "http/server.h"

#define MIB 1048576u

int test_listen(uint16_t *port);
int test_connect(uint16_t port);
int test_accept(int listen_fd);
/* Non-blocking and perhaps not yet connected. */
int test_connect_begin(uint16_t port);

/* Starts a server with cfg on a port of its own. */
struct http_server *test_start(const struct http_config *cfg, uint16_t *port);

void test_send(int fd, const void *p, size_t n);
void test_puts(int fd, const char *s);
/* Reads until the last bytes are `end`. Returns all of them as a string, good until the next
 * call. */
const char *test_read_to(int fd, const char *end);
/* Reads until the peer closes; a reset is a failure. */
const char *test_read_eof(int fd);
/* Is the peer's end of the connection closed, with no byte before? A reset counts. */
void test_expect_closed(int fd);

/* Waits for a semaphore, at most 20 s. */
void test_wait(sem_t *sem);

/* Byte i of a stream whose pieces cannot be swapped, lost or doubled unnoticed. */
void test_fill(char *p, size_t n, uint64_t at);
/* How many of the n bytes at p are right, when the first is byte `at`. */
size_t test_right(const char *p, size_t n, uint64_t at);

#define STARTS(text, with) assert_int_equal(strncmp(text, with, strlen(with)), 0)
#define HOLDS(text, part)  assert_non_null(strstr(text, part))
#define LACKS(text, part)  assert_null(strstr(text, part))
