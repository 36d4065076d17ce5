/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused goes into the record: by a socket that we were born with, and without an answer. What it has no room for is counted, and told when
 * there is room. */
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "ipc/recorder_proto.h"
#include "netd/netd.h"

static bool note(const struct netd *d, enum audit_event event, const char *sandbox,
                 const char *reason)
{
    struct recorder_msg m = { .type = RECORDER_NOTE,
                              .version = RECORDER_VERSION,
                              .fields = { .event = event,
                                          .real_ns = clock_real_ns(),
                                          .duration_ms = AUDIT_NO_DURATION,
                                          .success = AUDIT_NO_SUCCESS } };

    (void)snprintf(m.fields.sandbox_id, sizeof m.fields.sandbox_id, "%s", sandbox);
    (void)snprintf(m.fields.reason, sizeof m.fields.reason, "%s", reason);
    return send((int)d->opt.record_fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL) ==
           (ssize_t)sizeof m;
}

void record_denied(struct netd *d, const struct box *b, const char *reason)
{
    if (d->opt.record_fd && !note(d, AUDIT_EGRESS_DENIED, b->id.text, reason))
        d->unrecorded++;
}

void record_tick(struct netd *d)
{
    char reason[64];

    if (d->unrecorded == 0)
        return;
    (void)snprintf(reason, sizeof reason, "%llu refusals of netd",
                   (unsigned long long)d->unrecorded);
    if (note(d, AUDIT_RECORD_DROPPED, "", reason))
        d->unrecorded = 0;
}
