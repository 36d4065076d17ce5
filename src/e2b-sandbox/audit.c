/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/audit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "e2b-sandbox/app.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/recorder_client.h"
#include "ipc/monitor_proto.h"

#define APPEND_LIMIT_NS  (5 * NS_PER_S)
#define SETTLE_LIMIT_NS  (2 * NS_PER_S)
#define INTERPRETER_PORT 49999u

/* --- who and what --- */

static bool is_agent_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return s.n > 0 && s.n < sizeof((struct audit_who *)0)->agent_id;
}

void audit_who(const struct http_conn *c, const char *owner, struct audit_who *out)
{
    struct str agent = http1_get(http_head(c), "X-Agent-Id");

    *out = (struct audit_who){ 0 };
    (void)snprintf(out->ip_address, sizeof out->ip_address, "%s", http_peer(c));
    if (owner)
        (void)snprintf(out->user_id, sizeof out->user_id, "%s", owner);
    if (is_agent_id(agent))
        (void)str_copy(agent, out->agent_id, sizeof out->agent_id); /* it fits */
}

static struct audit_fields fields(enum audit_event event, const char *sandbox_id,
                                  const struct audit_who *who, const char *reason)
{
    struct audit_fields f = { .real_ns = clock_real_ns(),
                              .duration_ms = AUDIT_NO_DURATION,
                              .success = AUDIT_NO_SUCCESS,
                              .event = event,
                              .job = JOB_SANDBOX };

    if (sandbox_id)
        (void)snprintf(f.sandbox_id, sizeof f.sandbox_id, "%s", sandbox_id);
    if (reason)
        (void)snprintf(f.reason, sizeof f.reason, "%s", reason);
    if (who) {
        (void)snprintf(f.ip_address, sizeof f.ip_address, "%s", who->ip_address);
        (void)snprintf(f.user_id, sizeof f.user_id, "%s", who->user_id);
        (void)snprintf(f.agent_id, sizeof f.agent_id, "%s", who->agent_id);
    }
    return f;
}

void audit_event(struct app *a, enum audit_event event, const char *sandbox_id,
                 const struct audit_who *who, const char *reason)
{
    const struct audit_fields f = fields(event, sandbox_id, who, reason);

    if (a->recorder)
        (void)recorder_note(a->recorder, &f); /* what is dropped is counted, and recorded */
}

void audit_settled(struct app *a)
{
    if (a->recorder)
        (void)recorder_flush(a->recorder,
                             SETTLE_LIMIT_NS); /* it is done, recorded or not yet */
}

/* --- creations --- */

static void say_unrecorded(struct failure *f)
{
    *f = (struct failure){ .status = 503,
                           .error_code = "audit_unavailable",
                           .headers = "Retry-After: 5\r\n" };
    (void)snprintf(f->message, sizeof f->message,
                   "nothing new may begin while it cannot be recorded: the audit log has no "
                   "room on its disk, or its recorder is away; see the server's log");
}

bool audit_admit(struct app *a, const struct audit_who *who, struct failure *f)
{
    if (!a->recorder || recorder_ready(a->recorder))
        return true;
    say_unrecorded(f);
    audit_event(a, AUDIT_SANDBOX_REFUSED, NULL, who, "audit");
    return false;
}

bool audit_created(struct app *a, const struct sandbox *s, const struct audit_who *who,
                   uint64_t took_ms, struct failure *f)
{
    struct audit_fields r = fields(AUDIT_SANDBOX_CREATED, s->facts.id.text, who, NULL);

    r.duration_ms = (int64_t)took_ms;
    r.success = 1;
    if (!a->recorder || recorder_append(a->recorder, &r, APPEND_LIMIT_NS) == 0)
        return true;
    say_unrecorded(f);
    return false;
}

void audit_not_created(struct app *a, const struct audit_who *who, const struct failure *f)
{
    struct audit_fields r = fields(AUDIT_SANDBOX_FAILED, NULL, who, "start_failed");

    if (!a->recorder || (f->error_code && strcmp(f->error_code, "audit_unavailable") == 0))
        return;
    r.success = 0;
    if (f->status == 429 || f->status == 503) {
        r.event = AUDIT_SANDBOX_REFUSED;
        (void)snprintf(r.reason, sizeof r.reason, "%s",
                       f->error_code ? f->error_code : "capacity");
    }
    (void)recorder_note(a->recorder, &r);
}

/* --- the end --- */

void audit_ended(struct app *a, struct sandbox *s, enum sandbox_cause cause)
{
    struct sandbox_now look = sandbox_look(s);
    uint64_t now_ns = clock_real_ns();
    bool normal = sandbox_cause_is_normal(cause);
    struct audit_fields r = fields(normal ? AUDIT_SANDBOX_TERMINATED : AUDIT_SANDBOX_FAILED,
                                   s->facts.id.text, &look.ender, sandbox_cause_text(cause));

    if (!a->recorder)
        return;
    r.success = normal;
    if (look.started_ns > 0 && now_ns >= look.started_ns)
        r.duration_ms = (int64_t)((now_ns - look.started_ns) / NS_PER_MS);
    (void)recorder_note(a->recorder, &r);
}

/* --- into sandboxes --- */

enum audit_access audit_access_of(uint32_t port, struct str method, struct str path)
{
    bool post = str_eq(method, STR("POST"));

    if (port == INTERPRETER_PORT && post && str_eq(path, STR("/execute")))
        return ACCESS_EXECUTION;
    if (port != MONITOR_AGENT_PORT)
        return ACCESS_OTHER;
    if (post && str_eq(path, STR("/process.Process/Start")))
        return ACCESS_EXECUTION;
    if (str_eq(path, STR("/files")))
        return post ? ACCESS_WRITE : ACCESS_READ;
    if (post && (str_eq(path, STR("/filesystem.Filesystem/Move")) ||
                 str_eq(path, STR("/filesystem.Filesystem/Remove")) ||
                 str_eq(path, STR("/filesystem.Filesystem/MakeDir"))))
        return ACCESS_WRITE;
    return ACCESS_OTHER;
}

void audit_access_begins(struct app *a, const struct sandbox *s, enum audit_access what,
                         const struct audit_who *who)
{
    if (what == ACCESS_EXECUTION)
        audit_event(a, AUDIT_EXECUTION_STARTED, s->facts.id.text, who, NULL);
}

/* An execution that failed is one that was answered with an error: the program's own exit code is the guest's word, and not ours to
 * give. Of one whose exchange was cut short, as clients do that have seen what they wanted, nothing is known. */
void audit_access_ended(struct app *a, const struct sandbox *s, enum audit_access what,
                        const struct audit_who *who, unsigned status, uint64_t took_ms)
{
    bool ok = status < 400;
    enum audit_event event = what == ACCESS_READ    ? AUDIT_FILE_READ
                             : what == ACCESS_WRITE ? AUDIT_FILE_WRITTEN
                             : ok                   ? AUDIT_SANDBOX_EXECUTED
                                                    : AUDIT_SANDBOX_FAILED;
    struct audit_fields r = fields(event, s->facts.id.text, who, NULL);

    if (!a->recorder || what == ACCESS_OTHER)
        return;
    r.success = status == 0 ? AUDIT_NO_SUCCESS : ok;
    r.duration_ms = (int64_t)took_ms;
    if (event == AUDIT_SANDBOX_FAILED)
        (void)snprintf(r.reason, sizeof r.reason, "execution, status %u", status);
    (void)recorder_note(a->recorder, &r);
}
