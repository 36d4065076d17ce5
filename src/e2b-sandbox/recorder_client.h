/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/recorder_client: the way to the record (lib/ipc/recorder_proto.h). What is given stays in a queue until the recorder says
 * that it is on the disk, however often either of them has to start again; a record that is sent twice is written once.
 * Threads: safe. A thread of its own reads answers and connects again, 10 ms to 1 s apart. Nothing but recorder_append and
 * recorder_flush waits. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/recorder_proto.h"

#define RECORDER_QUEUE_MAX 16384u /* records; from half of it on recorder_ready is false */

struct recorder;

int recorder_start(struct recorder **out, const char *path, struct err *e);
/* Gives what waits up to a second to be written, ends the thread and frees r. NULL is fine. */
void recorder_stop(struct recorder *r);

/* May something begin that must be recorded? False while the recorder is away, has no room set aside, or lags behind. */
bool recorder_ready(struct recorder *r);
/* Waits until it is so; false after timeout_ns. */
bool recorder_wait_ready(struct recorder *r, uint64_t timeout_ns);

/* Puts the record in the queue; f->request_id is replaced by a name of ours. False if the queue is full: then it is counted, and a record says
 * later how many there were; those of the security class have the whole queue, others half of it. */
bool recorder_note(struct recorder *r, const struct audit_fields *f);
/* The same, and waits until it is durable: 0. -ENOBUFS, -ETIMEDOUT (it may be written yet), or why the recorder could not. */
int recorder_append(struct recorder *r, const struct audit_fields *f, uint64_t timeout_ns);
/* Waits until all that was given before is durable; false after timeout_ns. */
bool recorder_flush(struct recorder *r, uint64_t timeout_ns);

struct recorder_numbers {
    bool connected, ready;
    uint64_t queued, dropped, records, backlog, lost;
};
void recorder_look(struct recorder *r, struct recorder_numbers *out);
