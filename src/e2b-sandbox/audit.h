/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/audit: what of the API's doings goes into the record (ADR 0065). No field is what a sandbox says, none holds code, output, a path
 * or a key. Without a recorder (--record off) everything here does nothing and permits everything. Threads: safe. Only audit_created and
 * audit_settled wait. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "codec/http1.h"
#include "e2b-sandbox/audit_who.h"
#include "e2b-sandbox/fleet.h"
#include "ipc/recorder_proto.h"

struct app;
struct failure;
struct http_conn;

/* Where a request came from, and for whom it acts: the owner of its credential or of the sandbox, or NULL if nobody is known yet. */
void audit_who(const struct http_conn *c, const char *owner, struct audit_who *out);

/* May something new begin? Else false with *f (503) and a record of it. */
bool audit_admit(struct app *a, const struct audit_who *who, struct failure *f);
/* sandbox.created, durable when it returns true. Else the sandbox must not be anybody's: *f says why (503). */
bool audit_created(struct app *a, const struct sandbox *s, const struct audit_who *who,
                   uint64_t took_ms, struct failure *f);
/* A create that was answered with *f: sandbox.refused, or sandbox.failed. */
void audit_not_created(struct app *a, const struct audit_who *who, const struct failure *f);
/* sandbox.terminated, or sandbox.failed for a cause that nobody asked for. */
void audit_ended(struct app *a, struct sandbox *s, enum sandbox_cause cause);
/* An event of one sandbox (or NULL), with words of ours for a reason, or NULL. */
void audit_event(struct app *a, enum audit_event event, const char *sandbox_id,
                 const struct audit_who *who, const char *reason);
/* Waits, for at most two seconds, until what was given so far is durable. */
void audit_settled(struct app *a);

/* What a request to a port of a sandbox is, as far as its head says. */
enum audit_access { ACCESS_OTHER, ACCESS_EXECUTION, ACCESS_READ, ACCESS_WRITE };
enum audit_access audit_access_of(uint32_t port, struct str method, struct str path); /* pure */
/* Before it is relayed, and when it is over. `status` as http_relay.on_end has it. */
void audit_access_begins(struct app *a, const struct sandbox *s, enum audit_access what,
                         const struct audit_who *who);
void audit_access_ended(struct app *a, const struct sandbox *s, enum audit_access what,
                        const struct audit_who *who, unsigned status, uint64_t took_ms);
