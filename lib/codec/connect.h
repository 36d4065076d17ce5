/* SPDX-License-Identifier: Apache-2.0 */
/* connect: the envelope of Connect streams: 1 flag byte, 4-byte big-endian length, payload.
 * Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define CONNECT_PREFIX          5u
#define CONNECT_FLAG_COMPRESSED 0x01u
#define CONNECT_FLAG_END        0x02u

/* Reads one envelope from the front of p[0..n): the whole size consumed (> 0) with *flags and
 * *payload set (borrowed), 0 if more bytes are needed, -EMSGSIZE if it announces more than max,
 * -EPROTO if flags other than END are set. */
long connect_read(const void *p, size_t n, size_t max, unsigned *flags, struct str *payload);
void connect_write(struct buf *out, unsigned flags, struct str payload);

/* The sixteen codes of Connect and their HTTP statuses for unary calls
 * (connectrpc.com/docs/protocol). */
enum connect_code {
    CONNECT_CANCELED = 1,
    CONNECT_UNKNOWN,
    CONNECT_INVALID_ARGUMENT,
    CONNECT_DEADLINE_EXCEEDED,
    CONNECT_NOT_FOUND,
    CONNECT_ALREADY_EXISTS,
    CONNECT_PERMISSION_DENIED,
    CONNECT_RESOURCE_EXHAUSTED,
    CONNECT_FAILED_PRECONDITION,
    CONNECT_ABORTED,
    CONNECT_OUT_OF_RANGE,
    CONNECT_UNIMPLEMENTED,
    CONNECT_INTERNAL,
    CONNECT_UNAVAILABLE,
    CONNECT_DATA_LOSS,
    CONNECT_UNAUTHENTICATED
};
const char *connect_code_name(enum connect_code c); /* "not_found" */
unsigned connect_code_status(enum connect_code c);  /* 404 */
