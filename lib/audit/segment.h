/* SPDX-License-Identifier: Apache-2.0 */
/* segment: files of the record. DIR/JOB/RETENTION/YYYY-MM-DD.jsonl, and YYYY-MM-DD.N.jsonl (N from 1) for another of the same day;
 * signed heads in DIR/heads, named alike (requirements 2.14). A stream is the files of one directory in the order of day and N. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "ipc/recorder_proto.h"

#define AUDIT_KEEPS   3u /* 30, 90 and 365 days */
#define AUDIT_STREAMS (AUDIT_JOBS * AUDIT_KEEPS)
#define SEGMENT_NAME  32u

/* Streams are numbered job by job. */
unsigned audit_stream_of(uint32_t job, unsigned days);
uint32_t audit_stream_job(unsigned stream);
unsigned audit_stream_days(unsigned stream);

struct segment {
    uint32_t day;  /* since 1970 */
    uint32_t part; /* 0: without a number */
};

uint32_t segment_day(uint64_t real_ns);
void segment_name(const struct segment *s, char out[SEGMENT_NAME]);
bool segment_parse(struct str name, struct segment *out);
int segment_compare(const void *a, const void *b); /* of struct segment, for qsort */
/* Has each record of that day been kept for `days` whole days? */
bool segment_is_over(const struct segment *s, unsigned days, uint64_t real_ns);
