/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/tell_record.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/rand.h"
#include "ipc/ipc.h"

#define LIMIT_MS 2000

int tell_record(const struct place *p, enum audit_event event, const char *reason)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct recorder_msg m = { .type = RECORDER_APPEND,
                              .version = RECORDER_VERSION,
                              .fields = { .event = event,
                                          .real_ns = clock_real_ns(),
                                          .duration_ms = AUDIT_NO_DURATION,
                                          .success = AUDIT_NO_SUCCESS } };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct pollfd wait = { .fd = fd, .events = POLLIN };

    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/recorder.sock", p->run);
    (void)snprintf(m.fields.reason, sizeof m.fields.reason, "%s", reason);
    rand_hex(m.fields.request_id, 8);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    int rc = ipc_send(fd, &m, sizeof m, NULL, 0);
    do { /* what it tells all comes between */
        if (rc == 0 && poll(&wait, 1, LIMIT_MS) != 1)
            rc = -ETIMEDOUT;
        if (rc == 0)
            rc = ipc_recv(fd, &m, sizeof m, NULL, 0, NULL);
    } while (rc == 0 && m.type != RECORDER_APPEND);
    return rc < 0 ? rc : m.status;
}
