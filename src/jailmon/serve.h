/* SPDX-License-Identifier: Apache-2.0 */
/* serve: the monitor protocol, the deadline, and the end of the sandbox. */
#pragma once
#include "ipc/jailmon_proto.h"
#include "jailmon/build.h"

/* Must run before the privileges go: makes the epoll instance and the timer. */
int serve_prepare(int *epoll_fd, int *timer_fd);

/* Serves until the sandbox ends; returns why. Never fails: what cannot be served is answered
 * with its error. *tripwires: how many forbidden calls were heard. */
enum sandbox_cause serve(const struct sandbox *s, int epoll_fd, int timer_fd,
                         uint64_t *tripwires);
