/* SPDX-License-Identifier: Apache-2.0 */
/* build: makes the sandbox and then gives up everything that making it took. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "ipc/jailmon_proto.h"

struct sandbox {
    struct jailmon_start start;
    pid_t init_pid;   /* as the host sees it; we are in a pid namespace of our own */
    int init_pidfd;   /* owned */
    int report_fd;    /* of init, until await_agent; owned */
    int layer_fd;     /* O_PATH of the writable layer, owned; for statfs only */
    int listener_fd;  /* where tripwires are heard (sys/filter.h), owned */
    int landlock_abi; /* in force for the sandbox's programs */
    int route_fd;     /* NETLINK_ROUTE socket of our network namespace, owned (MONITOR_NETNS) */
};

/* The three parts of a start. On failure *step names the step and -errno is returned; the caller
 * exits, which ends whatever stands.
 *
 * Namespaces, agent socket, init, its id map; from then on init builds the sandbox's world by itself. `forked` is
 * called once init exists. */
int build_sandbox(struct sandbox *s, void (*forked)(void), enum sandbox_step *step);

/* Meanwhile: empty root, own uid, no capabilities, no_new_privs, system call filter; each
 * proved. Nothing that init still needs is ours any more. */
int drop_everything(enum sandbox_step *step);

/* Waits until init has executed envd, and takes the writable layer's descriptor from it. */
int await_agent(struct sandbox *s, enum sandbox_step *step);
