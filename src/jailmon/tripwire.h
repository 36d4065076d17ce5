/* SPDX-License-Identifier: Apache-2.0 */
/* tripwire: hears the sandbox's forbidden system calls (lib/sys/syscalls_tripwires.h), refuses
 * each with EPERM, counts them and says so on the log.
 *
 * The sandbox can make as many as it likes, so each visit does a bounded amount of work and the
 * log has a rate. Never answered "go on": what a pointer of the call points to can change after
 * it was looked at, so nothing is looked at. If this process dies, the calls are ENOSYS. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/token_bucket.h"

#define TRIPWIRE_BATCH     16u /* answered in one visit */
#define TRIPWIRE_KINDS_MAX 32u

struct tripwire {
    int fd;            /* borrowed */
    const char *id;    /* of the sandbox; borrowed */
    uint64_t count;    /* since the start */
    uint64_t alarms;   /* times that two distinct ones came within a minute */
    uint64_t quiet_ns; /* no alarm again before */
    uint64_t unsaid;   /* not on the log for its rate */
    uint64_t seen_ns[TRIPWIRE_KINDS_MAX]; /* by the index of filter_tripwire_at; 0: never */
    struct token_bucket log;
};

void tripwire_init(struct tripwire *t, int fd, const char *id);
/* Answers what waits, at most TRIPWIRE_BATCH. False: nobody can make any more (the sandbox is
 * ending), stop watching fd. */
bool tripwire_visit(struct tripwire *t);
/* Counts one call at a time of CLOCK_MONOTONIC. True if it is the second distinct one within a
 * minute and the first such in this minute. Pure. */
bool tripwire_count(struct tripwire *t, int nr, uint64_t now_ns);
