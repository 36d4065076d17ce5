/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: GET /metrics, as seen from inside: /proc and the root file system. What a sandbox is accounted for is measured
 * outside, from its cgroup. */
#pragma once
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct metrics_cpu { /* jiffies since boot */
    uint64_t busy, total;
};
/* Reads the first line of /proc/stat. 0 or -EINVAL. Pure. */
int metrics_parse_stat(struct str text, struct metrics_cpu *out);
/* The value in bytes of a line of /proc/meminfo, 0 if it is not there. Pure. */
uint64_t metrics_meminfo(struct str text, const char *name);

/* Appends the JSON object; takes 50 ms, over which it measures the processors' use. */
void metrics_write(struct buf *out);
