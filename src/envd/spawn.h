/* SPDX-License-Identifier: Apache-2.0 */
/* spawn: fork and exec from a process with many threads: the child makes async-signal-safe calls only and tells through a
 * close-on-exec pipe which step failed. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "envd/users.h"

enum spawn_step { SPAWN_CHDIR = 1, SPAWN_IDENTITY, SPAWN_TERMINAL, SPAWN_EXEC };

struct spawn {
    const char *file; /* what to execute: has a '/' */
    char *const *argv;
    char *const *envp;
    const char *cwd;         /* entered as the user; NULL: cwd_fd */
    int cwd_fd;              /* used if cwd is NULL; -1: "/" */
    const struct user *user; /* NULL: stay who we are */
    int fd[3];               /* become 0, 1, 2; all > 2 */
    int ctl_fd;              /* becomes 3; > 9, or 0: there is none */
    bool terminal;           /* fd[0] becomes the controlling terminal of the new session */
};

/* Forks; the child leads a new session. Returns its pid with *status_fd set (the caller's), or -errno. The child may already have
 * ended when this returns; it is a zombie until somebody waits for it. */
pid_t spawn_fork(const struct spawn *s, int *status_fd);
/* Waits until the child has executed its program: 0, or -errno with *step. Closes status_fd. */
int spawn_wait_exec(int status_fd, enum spawn_step *step);

/* Finds `name` in the colon-separated list of directories, as execvp would. 0 or -errno (ENOENT, EACCES). A name with '/' is
 * copied. */
int spawn_find_program(const char *name, const char *path, char out[USER_PATH_MAX]);
