/* SPDX-License-Identifier: Apache-2.0 */
/* recorder_proto: everything that can be said to the recorder, whole. One page.
 *
 * Transport: a SOCK_SEQPACKET Unix socket, RUN/recorder.sock; native byte order, both ends are one build (`version` in every message says
 * so). A peer is served only if SO_PEERCRED says that it is root or the API's uid; netd has a socket that it was born with. A message
 * is one struct recorder_msg. Whoever sends can add records and nothing else: none can be read, changed or taken back here.
 * Texts are NUL-terminated within their arrays; "" is null in the line. Any bytes may be in them: the recorder escapes. */
#pragma once
#include <stdint.h>

#define RECORDER_VERSION 1u

enum audit_event {
#define X(name, text, days, is_security) AUDIT_##name,
#include "ipc/audit_events.h"
#undef X
    AUDIT_EVENTS
};

/* Which service a line is of: the label `job` of the guide's queries. */
enum audit_job { JOB_SANDBOX, JOB_MCP, JOB_DESKTOP, JOB_SURF, AUDIT_JOBS };
enum audit_severity {
    SEVERITY_NONE,
    SEVERITY_LOW,
    SEVERITY_MEDIUM,
    SEVERITY_HIGH,
    SEVERITY_CRITICAL,
    AUDIT_SEVERITIES
};

#define AUDIT_NO_DURATION INT64_C(-1)
#define AUDIT_NO_SUCCESS  (-1)

/* What a line says, but for what the recorder adds (its place in the chain). A plain value. */
struct audit_fields {
    uint64_t real_ns;    /* since 1970; the line has milliseconds */
    int64_t duration_ms; /* or AUDIT_NO_DURATION */
    uint32_t event;      /* enum audit_event */
    uint32_t job;        /* enum audit_job */
    uint32_t severity;   /* enum audit_severity */
    int32_t success;     /* 0, 1 or AUDIT_NO_SUCCESS */
    int32_t exit_code;   /* if has_exit_code */
    uint32_t has_exit_code;
    char sandbox_id[40];
    char user_id[128];
    char agent_id[64];
    char language[32];
    char ip_address[48];
    char request_id
        [48]; /* names this record: one that is sent again after a lost answer is written once */
    char reason[160]; /* words, addresses, numbers; never code, output, a path or a token */
};

enum recorder_type {
    RECORDER_HELLO = 1, /* answered with the state */
    RECORDER_APPEND, /* answered when the record is on the disk, or with -errno when it is not and will not be */
    RECORDER_NOTE,  /* the same without an answer */
    RECORDER_STATE, /* from the recorder: `ready` has changed */
    RECORDER_SHIPPED /* from the shipper: `backlog` records wait, `lost` were purged unsent. Answered */
};
#define RECORDER_AGAIN 1u /* flags: it may have been sent before */

struct recorder_msg {
    uint32_t type; /* enum recorder_type */
    uint32_t version;
    uint64_t request_id; /* echoed */
    int32_t status;      /* answers: 0 or -errno */
    uint32_t flags;
    uint32_t
        ready; /* from the recorder: room is set aside for what comes; 0: admit nothing new */
    uint32_t streams; /* answer to HELLO: files that hold records */
    uint64_t records; /* answers to HELLO: durable since the start */
    uint64_t backlog, lost;
    struct audit_fields fields;
};
_Static_assert(sizeof(struct audit_fields) == 560 && sizeof(struct recorder_msg) == 616,
               "wire size");

/* "sandbox.created"; NULL for a number that is no event. */
const char *audit_event_text(uint32_t event);
unsigned audit_event_days(uint32_t event); /* 30, 90 or 365 */
int audit_event_is_security(uint32_t event);
const char *audit_job_text(uint32_t job);           /* "e2b-sandbox"; NULL likewise */
const char *audit_severity_text(uint32_t severity); /* ""; NULL likewise */
