/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/monitor: calls to the monitor of one sandbox (lib/ipc/monitor_proto.h). One connection per sandbox; it is opened
 * through the warden when it is needed and there is none.
 * All return 0, -ENOENT if the sandbox is gone, -ENOTCONN if it cannot be told (no connection, and no warden to open one),
 * -ETIMEDOUT, or what the monitor answered. */
#pragma once
#include "e2b-sandbox/fleet.h"
#include "e2b-sandbox/warden_client.h"
#include "ipc/monitor_proto.h"

/* Takes the connection that came with the answer to WARDEN_SPAWN. */
void monitor_take(struct sandbox *s, int fd);

/* Gives `to`, which has none yet, the connection of `from`. */
void monitor_move(struct sandbox *to, struct sandbox *from);

/* A non-blocking socket, connected or connecting to that port inside: *fd, owned by the caller. */
int monitor_connect_port(struct sandbox *s, struct warden *w, uint32_t port, int *fd);
/* The route socket of its network namespace, to be passed on to netd: *fd, owned by the caller. */
int monitor_netns(struct sandbox *s, struct warden *w, int *fd);
int monitor_stats(struct sandbox *s, struct warden *w, struct monitor_stats *out);
/* What is kept of them, with the time of now. */
struct sample monitor_sample(const struct monitor_stats *stats);
int monitor_set_deadline(struct sandbox *s, struct warden *w, uint64_t boot_ns);
int monitor_kill(struct sandbox *s, struct warden *w);
