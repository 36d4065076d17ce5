/* SPDX-License-Identifier: Apache-2.0 */
/* record/files: reads the record's files (STATE/audit, or a copy of it). Whole lines only: what is still being written is left for
 * the next time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "audit/head.h"
#include "audit/segment.h"
#include "base/err.h"

/* Where a walk through a stream has got; zeroed is its beginning. */
struct audit_place {
    struct segment segment;
    bool is_begun;
    uint64_t offset;
};
struct audit_seen {
    unsigned stream;
    const struct segment *segment;
    struct str text; /* a line, borrowed */
};
/* Calls fn for each whole line from *at on, which is moved behind it; until fn returns false. 0, also if there is no such stream; -errno with *e.
 * *tail, unless NULL, is how many bytes of the last file are no whole line. */
int audit_walk(int dir_fd, unsigned stream, struct audit_place *at,
               bool (*fn)(const struct audit_seen *l, void *arg), void *arg, uint64_t *tail,
               struct err *e);

/* The same for the signed heads, as stream AUDIT_STREAMS. */
#define AUDIT_HEADS_STREAM AUDIT_STREAMS

/* All signed heads, in order. */
struct audit_heads {
    struct audit_head *head; /* owned */
    size_t n;
    char bad[200]; /* "" unless a line is no head, or not signed by the key */
};
int audit_heads_read(int dir_fd, const uint8_t key[ED25519_KEY], struct audit_heads *out,
                     struct err *e);
void audit_heads_fini(struct audit_heads *h);
#define AUTO_AUDIT_HEADS __attribute__((cleanup(audit_heads_fini)))

/* A public key: a line of 64 hexadecimal digits. */
int audit_key_read(int dir_fd, const char *path, uint8_t key[ED25519_KEY], struct err *e);
