/* SPDX-License-Identifier: Apache-2.0 */
/* buf: a byte string that grows up to a maximum chosen at creation. It remembers its first
 * failure (too big, or out of memory), after which appends do nothing: build freely, ask buf_ok
 * once. Owns its memory; buf_fini, or AUTO_BUF, releases it. The bytes are always followed by a
 * NUL that is not counted. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    char *p;    /* NULL until the first append */
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated, private */
    size_t max; /* most bytes it may hold */
    int failed; /* 0, or the first failure: EMSGSIZE or ENOMEM */
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })
#define AUTO_BUF            __attribute__((cleanup(buf_fini)))

void buf_fini(struct buf *b);  /* releases the memory; b is empty again and keeps its max */
void buf_clear(struct buf *b); /* forgets bytes and failure, keeps the memory */
bool buf_ok(const struct buf *b);
/* What is appended must not lie in b itself, which may move. */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_add_i64(struct buf *b, int64_t v);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes to be written at b->p + b->n by the caller, who then adds to b->n; NULL
 * if refused. */
char *buf_reserve(struct buf *b, size_t n);
/* Removes the first n (<= b->n) bytes; forgets all but the first n (<= b->n) bytes. */
void buf_consume(struct buf *b, size_t n);
void buf_truncate(struct buf *b, size_t n);
struct str buf_str(const struct buf *b);   /* borrows until the next change */
const char *buf_cstr(const struct buf *b); /* "" when empty; borrows likewise */
