/* SPDX-License-Identifier: Apache-2.0 */
/* auth/throttle: how often one source may fail to authenticate. A token bucket each; the table is bounded, and the source that
 * failed longest ago makes room. Sources are IPv4 addresses and /64 networks of IPv6 (who has one address of those has them all).
 * Pure: the caller gives the time (CLOCK_MONOTONIC) and a lock. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/token_bucket.h"

#define THROTTLE_SOURCES     256u
#define THROTTLE_BURST       128u
#define THROTTLE_PER_S       8u
#define THROTTLE_RETRY_AFTER "1" /* seconds: by then there are THROTTLE_PER_S tries again */

struct throttle { /* zeroed it is ready; fields are private */
    struct throttle_source {
        uint8_t address[16];
        struct token_bucket bucket;
        uint64_t last_ns; /* 0: unused */
    } source[THROTTLE_SOURCES];
};

/* Notes a failure of `peer` ("10.0.0.1", "2001:db8::1"; anything else, a Unix socket, is one source). True if it may fail on;
 * false if the answer is 429. */
bool throttle_failed(struct throttle *t, const char *peer, uint64_t now_ns);
