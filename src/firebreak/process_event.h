/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/process_event: the messages of a process.Process/Start stream (spec e2b-wire §3.6). Pure. The stream comes out of a
 * sandbox, so every field is checked. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum process_event_kind {
    PROCESS_START,
    PROCESS_DATA,
    PROCESS_END,
    PROCESS_OTHER /* a keepalive, or something newer than this program */
};

struct process_event {
    enum process_event_kind kind;
    uint64_t pid;    /* START */
    bool to_stderr;  /* DATA */
    int exit_status; /* END: as a shell tells it: the exit code, or 128 + number of the signal */
    char status_text[128]; /* END: "signal: killed" */
};

/* Reads one message. The bytes of DATA are appended to *bytes. 0, or -EPROTO with *e. */
int process_event_read(struct str json, struct process_event *ev, struct buf *bytes,
                       struct err *e);
/* Reads the message that ends a stream: 0 if it tells no error; else *e says it, and the result is -ETIMEDOUT for
 * deadline_exceeded and -EPROTO otherwise. */
int process_stream_end_read(struct str json, struct err *e);
/* The shell's status for the words Go has for a signal ("signal: killed (core dumped)"), or 0. */
int process_signal_status(const char *status_text);
