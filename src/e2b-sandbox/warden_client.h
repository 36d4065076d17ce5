/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/warden_client: one connection to the warden, shared by all threads (lib/ipc/warden_proto.h).
 *
 * A thread of its own reads answers and hands each to the caller that waits for its request_id. When the warden goes, all
 * waiting calls fail with -ENOTCONN and the thread connects again, for ever, 10 ms to 1 s apart. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/warden_proto.h"

struct warden;

struct warden_events { /* called on the reading thread; must not call the warden */
    void (*on_exited)(const struct warden_msg *m, void *arg);
    void (*on_connected)(void *arg);
    void *arg;
};

/* Starts connecting to the socket `path`. */
int warden_start(struct warden **out, const char *path, const struct warden_events *events,
                 struct err *e);
/* Ends the thread and frees w. No call may be in progress. */
void warden_stop(struct warden *w);

bool warden_is_connected(struct warden *w);
/* Waits until it is connected; false after timeout_ns. */
bool warden_wait_connected(struct warden *w, uint64_t timeout_ns);
/* How many sandboxes the warden may run at once; 0 while that is not known. */
uint32_t warden_max_sandboxes(struct warden *w);

/* Sends *m (version and request_id are filled in) and waits for the answer, which replaces *m. *fd is the descriptor that came
 * with it (owned by the caller) or -1. 0: answered, look at m->status; -ENOTCONN: there is no warden, or it went before it
 * answered; -ETIMEDOUT. After either the request may have been carried out. */
int warden_call(struct warden *w, struct warden_msg *m, int *fd, uint64_t timeout_ns);
/* All sandboxes that run. rows has room for WARDEN_MAX_SANDBOXES. 0 or as above; -EPROTO if the answer makes no sense. */
int warden_list(struct warden *w, struct warden_msg *rows, size_t *n, uint64_t timeout_ns);
