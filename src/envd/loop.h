/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the one thread of envd that waits for pipes, children, watches and the sudo socket. A source is embedded in its owner and
 * names the function that runs, on the loop's thread, when its fd is ready.
 *
 * Threads: loop_add, loop_del and loop_wake from any; but memory of a source that has ever been added may be freed by the loop's
 * thread only (after loop_del): one event is taken from the kernel at a time, so none for a dead source can be on its way. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct loop_source {
    int fd;
    void (*ready)(struct loop_source *s, uint32_t events); /* EPOLLIN, EPOLLHUP, ... */
};

struct loop {
    int epoll_fd;
    int wake_fd;
};

int loop_init(struct loop *l); /* 0 or -errno */
void loop_fini(struct loop *l);
int loop_add(struct loop *l,
             struct loop_source *s); /* for reading, level triggered; 0 or -errno */
void loop_del(struct loop *l, struct loop_source *s);
/* Makes a loop_step that waits return, so that deadlines are looked at again. */
void loop_wake(struct loop *l);
/* Waits for one event, at most until until_ns (UINT64_MAX: for ever), and serves it. True if the caller has its own work to do:
 * the time is over, or loop_wake was called. */
bool loop_step(struct loop *l, uint64_t now_ns, uint64_t until_ns);
