/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "ipc/recorder_proto.h"

static const struct {
    const char *text;
    unsigned days;
    int is_security;
} events[AUDIT_EVENTS] = {
#define X(name, text, days, is_security) [AUDIT_##name] = { text, days, is_security },
#include "ipc/audit_events.h"
#undef X
};

const char *audit_event_text(uint32_t event)
{
    return event < AUDIT_EVENTS ? events[event].text : NULL;
}

unsigned audit_event_days(uint32_t event)
{
    return event < AUDIT_EVENTS ? events[event].days : 365;
}

int audit_event_is_security(uint32_t event)
{
    return event >= AUDIT_EVENTS || events[event].is_security;
}

const char *audit_job_text(uint32_t job)
{
    static const char *const text[AUDIT_JOBS] = { "e2b-sandbox", "e2b-mcp-server",
                                                  "e2b-desktop", "e2b-surf" };
    return job < AUDIT_JOBS ? text[job] : NULL;
}

const char *audit_severity_text(uint32_t severity)
{
    static const char *const text[AUDIT_SEVERITIES] = { "", "low", "medium", "high",
                                                        "critical" };
    return severity < AUDIT_SEVERITIES ? text[severity] : NULL;
}
