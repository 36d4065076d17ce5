/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/child: programs that `up` starts and watches. A child ends with its parent (SIGTERM, also when the parent is
 * killed), is in a process group of its own so that Ctrl-C reaches the parent only, and inherits exactly what is listed here. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define CHILD_ARGS_MAX 64u
#define CHILD_FDS_MAX  3u

struct child {
    const char *name;  /* for messages */
    char *const *argv; /* argv[0] is the path, borrowed, NULL at the end */
    int log_fd;        /* where its stderr and stdout go, borrowed */
    int pass_fd
        [CHILD_FDS_MAX]; /* handed over as descriptors 3, 4, ..., borrowed; -1 ends the list */
    pid_t pid;           /* 0 while it does not run */
    uint64_t started_ns;
    uint64_t restart_ns; /* when to start it again; 0: not due */
    uint64_t backoff_ns; /* how long to wait the next time */
    int exit_status;     /* of waitpid, after it ended */
};

int child_start(struct child *c, uint64_t now_ns, struct err *e);
/* Has it ended? Reaps it then: pid is 0 and exit_status is set. */
bool child_ended(struct child *c);
/* SIGTERM, up to `limit_ns` of patience, SIGKILL. Returns when it is gone. */
void child_stop(struct child *c, uint64_t limit_ns);
/* Plans the restart: the wait doubles while it keeps dying and starts small again after it ran well for a second. */
void child_plan_restart(struct child *c, uint64_t now_ns);
/* "exit status 1", "killed by signal 9 (Killed)" */
void child_status_text(int status, char out[64]);
