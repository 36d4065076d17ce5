/* SPDX-License-Identifier: Apache-2.0 */
/* task: clone, identity and privileges of processes. Thin wrappers; each drop is proved by
 * reading the state back. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* clone3(2) with fork semantics (no shared memory, SIGCHLD at exit). `flags` are CLONE_NEW*
 * bits. *pidfd receives a CLOEXEC pidfd of the child. cgroup_fd >= 0: a cgroup v2 directory
 * that the child is born in (CLONE_INTO_CGROUP). Returns the pid, 0 in the child, or -errno.
 * Only for single-threaded processes. */
pid_t task_clone(uint64_t flags, int *pidfd, int cgroup_fd);

int task_kill_pidfd(int pidfd, int sig); /* 0 or -errno (-ESRCH: it is gone) */
int task_open_pidfd(pid_t pid);          /* CLOEXEC pidfd or -errno */

/* Replaces the capability bounding set by `keep` (a mask of 1 << CAP_x) and proves it. */
int task_limit_bounding(uint64_t keep, struct err *e);
/* Sets permitted and effective to `caps`, clears inheritable and ambient, and proves it. */
int task_set_caps(uint64_t caps, struct err *e);
/* Becomes uid:gid (real, effective, saved, filesystem), without supplementary groups, and
 * proves it. The kernel clears the effective capabilities when uid 0 is given up. */
int task_set_ids(uid_t uid, gid_t gid, struct err *e);
int task_no_new_privs(struct err *e);
/* RLIMIT_CORE: 0 forbids the file, but a core_pattern that is a pipe would still start its program as root on the host; 1 forbids
 * both (core(5); fs/coredump.c). */
#define TASK_NO_CORE 1u
/* Soft and hard limit of one resource, never above the present hard limit. */
int task_limit(int resource, uint64_t value, struct err *e);

/* Writes text to a file in one write(2): for /proc and cgroup files. `dir_fd` may be AT_FDCWD.
 * 0 or -errno. */
int task_write_file(int dir_fd, const char *path, const char *text);
