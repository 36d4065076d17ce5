/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/netd_client: the connection to netd (lib/ipc/netd_proto.h). A thread keeps it up and tells netd everything again
 * whenever it is new; calls may come from any thread. */
#pragma once
#include "base/err.h"
#include "ipc/netd_proto.h"

struct netd_client;

/* Called on the client's thread after each HELLO, and again every second until it returns true: tells netd of all sandboxes that
 * have a network. */
struct netd_events {
    bool (*tell_all)(void *arg);
    void *arg;
};
int netd_start(struct netd_client **out, const char *path, const struct netd_events *events,
               struct err *e);
void netd_stop(struct netd_client *n); /* NULL is fine */

/* What follows a request: n_rules, n_transforms and n_pairs of it say how many. Borrowed. */
struct netd_more {
    const struct egress_rule *rule;
    const struct transform *transform;
    const struct netd_pair *pair;
    struct netd_traffic *traffic; /* written: what follows the answer to NETD_TRAFFIC */
};
/* One request, with what follows it (or NULL). fd >= 0 goes with it and stays the caller's. m becomes the answer. 0, or -ENOTCONN,
 * -ETIMEDOUT, or what netd answered. */
int netd_call(struct netd_client *n, struct netd_msg *m, int fd, const struct netd_more *more);
/* Is everything told? Waits up to timeout_ns for it. */
bool netd_wait_told(struct netd_client *n, uint64_t timeout_ns);
