/* SPDX-License-Identifier: Apache-2.0 */
/* chain: is a stream as it was written? Each line names the SHA-256 of the line before it; signed heads say what the line of a number was.
 * So a line that was changed, taken out or moved shows, and the first such line is named. What follows the last head can be cut off unseen:
 * heads are made every few minutes and at each orderly end, and are shipped with the rest. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "audit/line.h"
#include "crypto/sha256.h"

/* What the first line of a stream names: SHA-256 of "firebreak audit JOB/RETENTIONd", so that no stream passes for another. */
struct sha256 audit_genesis(unsigned stream);

/* What a signed head says of one stream. */
struct audit_point {
    uint64_t first_seq; /* the oldest record that was kept then; 1 unless files were purged */
    struct sha256 first_prev;
    uint64_t seq; /* the newest; 0: none yet */
    struct sha256 hash;
    uint64_t real_ns; /* of the head */
};

struct audit_verifier {
    const struct audit_point *point; /* borrowed, in the order in which they were made */
    size_t n_points, at;
    uint64_t seq;       /* of the line before, 0 before the first */
    struct sha256 hash; /* of it, or what the first must name */
    uint64_t first_seq;
    bool
        in_doubt; /* the last line does not name the one before it: the next tells which of both was changed */
    uint64_t bad_seq; /* 0: nothing found */
    char why[160];
};

void audit_verifier_init(struct audit_verifier *v, unsigned stream,
                         const struct audit_point *point, size_t n);
/* The next line, without line feed. False once a bad one has been found: bad_seq and why say which. *l is the record if it
 * could be read. */
bool audit_verifier_line(struct audit_verifier *v, struct str text, struct audit_line *l);
/* After the last line. */
bool audit_verifier_end(struct audit_verifier *v);
