/* SPDX-License-Identifier: Apache-2.0 */
/* init: what the first process of a sandbox does between its birth and execve of envd. It runs
 * as root of a new user namespace, with all capabilities there and none outside, in new mount,
 * pid, cgroup and time namespaces, and builds the sandbox's view of the world. Nothing of the
 * tenant has run yet, but the image is the tenant's: nothing in it is opened by a path that
 * could be redirected (sys/mnt.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define JAIL_PTYS_TEXT "256" /* pseudo terminals of one sandbox */

enum jail_profile { JAIL_PROFILE_DEFAULT, JAIL_PROFILE_STRICT, JAIL_PROFILE_DEBUG };

struct jail_init {
    int lower_fd; /* detached, id-mapped, read-only mount of the template image; taken */
    int agent_fd; /* detached read-only mount of the envd program: put over /usr/bin/sudo, and
                     executed; taken */
    int disk_fd;  /* detached id-mapped mount with the directories upper and work, or -1: then
                    the writable layer is made in memory; taken */
    int agent_socket_fd; /* listening TCP socket that becomes fd 3 of envd */
    int report_fd;       /* SEQPACKET to the monitor; may be renumbered */
    bool root_ready;     /* lower_fd is the whole root already: no overlay is to be made */
    uint64_t disk_bytes, disk_inodes;
    uint32_t pids;
    enum jail_profile profile; /* of the system call filter */
    bool user_namespaces;      /* the sandbox may make more of them */
};

/* What init tells its monitor, each at most once; end of file means that envd runs. */
enum jail_report_kind {
    JAIL_FAILED,         /* step, error */
    JAIL_SENDS_LAYER,    /* with the O_PATH descriptor of the writable layer */
    JAIL_SENDS_LANDLOCK, /* number: the ABI that is in force, 0 if none */
    JAIL_SENDS_LISTENER  /* with the descriptor on which tripwires are heard (sys/filter.h) */
};
struct jail_report {
    uint32_t kind; /* enum jail_report_kind */
    uint32_t
        step; /* enum sandbox_step of ipc/warden_proto.h; the library keeps the number opaque */
    int32_t error; /* errno */
    int32_t number;
};

/* The caller's numbers of the steps, so that a failure can be named. */
struct jail_steps {
    uint32_t mount_private, root_tmpfs, lower, overlay, proc, dev, sys, run, mask, pivot,
        cgroup_ns, rlimits, caps, no_new_privs, seccomp, agent_exec, landlock;
};

/* Builds the sandbox and becomes envd. Returns only on failure: the failed step is in *step and
 * -errno is returned; the caller then reports both on in->report_fd and exits. */
int jail_init_run(struct jail_init *in, const struct jail_steps *s, uint32_t *step);
