/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/harden: gives up every privilege, and proves it. Called once, when all that needs privilege is open and before a byte
 * from outside is read; there is one thread then. */
#pragma once
#include <sys/types.h>

#include "base/err.h"

/* As root: becomes uid (and gid of the same number), with no group, no capability and an empty bounding set. In any case: no core
 * dumps, not traceable by others of this uid, no privilege by executing a file, and the allow-list of system calls in
 * sys/syscalls_api.h, which has neither execve nor fork. Of the file system there is left, where the kernel has Landlock: state_dir/db to
 * write, state_dir/templates and /proc to read, /dev/null and /dev/urandom; no TCP socket can be bound or connected. Any step that fails, or did nothing, is an
 * error: the program must not serve then. */
int harden_self(uid_t uid, const char *state_dir, struct err *e);
