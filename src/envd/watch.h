/* SPDX-License-Identifier: Apache-2.0 */
/* watch: changes below a directory, from inotify, as the events of E2B; recursive if asked, following new directories. Names are
 * relative to the watched directory, "." is itself. A watch is used by one thread at a time. */
#pragma once
#include <stdbool.h>

#define WATCH_DIRS_MAX 8192u /* directories of one watch */

enum watch_op { WATCH_CREATE, WATCH_WRITE, WATCH_REMOVE, WATCH_RENAME, WATCH_CHMOD };
const char *watch_op_name(enum watch_op op); /* "EVENT_TYPE_CREATE" */

struct watch;

/* Arms the watch. 0; -ENOENT, -ENOTDIR; -ENOSPC or -E2BIG: too many directories; -EMFILE, -ENOMEM. */
int watch_new(struct watch **out, const char *root, bool recursive);
void watch_free(struct watch *w);    /* NULL is fine */
int watch_fd(const struct watch *w); /* readable when something happened */
const char *watch_root(const struct watch *w);
/* Tells what happened since the last call, without waiting. 0, or -EOVERFLOW if events were lost (those that were not, were told). */
int watch_read(struct watch *w, void (*tell)(void *arg, const char *name, enum watch_op op),
               void *arg);
/* Is it on a network or FUSE file system, whose changes inotify does not see? */
bool watch_is_remote(const char *path);
