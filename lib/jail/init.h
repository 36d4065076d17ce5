/* SPDX-License-Identifier: Apache-2.0 */
/* init: what the first process of a sandbox does between its birth and execve of envd. It runs
 * as root of a new user namespace, with all capabilities there and none outside, in new mount,
 * pid, cgroup and time namespaces, and builds the sandbox's view of the world. Nothing of the
 * tenant has run yet; paths are our own constants in our own mounts. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct jail_init {
    int lower_fd; /* detached, id-mapped, read-only mount of the template image; taken */
    int agent_fd; /* detached read-only mount of the envd program: put over /usr/bin/sudo, and
                     executed; taken */
    int agent_socket_fd; /* listening TCP socket that becomes fd 3 of envd */
    int report_fd;   /* SEQPACKET to the monitor: the writable layer's O_PATH fd goes there; may
                        be renumbered */
    bool root_ready; /* lower_fd is the whole root already: no overlay is to be made */
    uint64_t disk_bytes, disk_inodes;
    uint32_t pids;
};

/* What init tells its monitor: a failed step, or (step 0) the descriptor of the writable layer.
 * End of file means that envd runs. */
struct jail_report {
    uint32_t
        step; /* enum sandbox_step of ipc/warden_proto.h; the library keeps the number opaque */
    int32_t error; /* errno */
};

/* The caller's numbers of the steps, so that a failure can be named. */
struct jail_steps {
    uint32_t mount_private, root_tmpfs, lower, overlay, proc, dev, sys, run, mask, pivot,
        cgroup_ns, rlimits, caps, no_new_privs, seccomp, agent_exec;
};

/* Builds the sandbox and becomes envd. Returns only on failure: the failed step is in *step and
 * -errno is returned; the caller then reports both on in->report_fd and exits. */
int jail_init_run(struct jail_init *in, const struct jail_steps *s, uint32_t *step);
