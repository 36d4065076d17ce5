/* SPDX-License-Identifier: Apache-2.0 */
/* line: one record as one line of JSON, and back. Pure.
 *
 *   {"timestamp":"2026-01-02T03:04:05.678Z","event_type":"sandbox.executed","sandbox_id":"i...","user_id":null,"agent_id":null,
 *    "language":null,"duration_ms":1234,"success":true,"ip_address":"172.30.1.10","seq":7,"prev_hash":"..."}
 *
 * (hardening guide, Audit Logging; requirements R98-R106 and 2.14). The nine fields of the guide in its order; then, where there is one,
 * request_id, reason, exit_code, severity; then seq and prev_hash, always. What does not apply is null. ASCII only: other
 * characters, and control bytes, are \uXXXX, bytes that are no UTF-8 are '?'. A text that looks like a key, a token or an envelope is
 * written as "redacted". There is one way to write a record, and reading takes no other. */
#pragma once
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "crypto/sha256.h"
#include "ipc/recorder_proto.h"

#define AUDIT_LINE_MAX 4096u /* bytes, more than the longest line */

struct audit_line {
    struct audit_fields f; /* f.job is not in a line: its file says it */
    uint64_t seq;          /* from 1 on, within a stream */
    struct sha256 prev;    /* of the line before it, or audit_genesis */
};

/* Appends it, without a line feed. -EINVAL (nothing was appended): event, severity or success is none that there is, or seq is 0. */
int audit_line_write(const struct audit_line *l, struct buf *out);
/* 0, or -EINVAL for anything that audit_line_write would not have written. */
int audit_line_read(struct str text, struct audit_line *out);
