/* SPDX-License-Identifier: Apache-2.0 */
/* mnt: mounts held as descriptors. A file system is made detached (fsopen, fsmount), filled
 * through its descriptor, and put onto a place that is a descriptor as well (move_mount), so
 * that no step resolves a path that somebody else could have prepared.
 *
 * Descriptors are O_PATH, CLOEXEC and the caller's. Errors are -errno. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct mnt_option {
    const char *key;
    const char *value; /* NULL: a flag */
};

/* Makes a file system and a detached mount of it. `attr` are MOUNT_ATTR_* bits. */
int mnt_make(const char *type, const struct mnt_option *options, size_t n, unsigned attr);

/* A detached second view of what `path` below dir_fd names; "" is dir_fd itself. */
int mnt_clone(int dir_fd, const char *path);

/* Puts a detached mount onto the very file or directory that at_fd is. Both stay open:
 * afterwards mount_fd is the root of what is seen there. */
int mnt_attach(int mount_fd, int at_fd);

int mnt_set_read_only(int mount_fd); /* this mount, not those on top of it */

/* Opens `path` in a tree that somebody else made (an image): no component of it may be a
 * symbolic link or a mount, and nothing leads out of root_fd. -ELOOP at a link. With O_PATH,
 * whatever it is has not been opened as a device or pipe. */
int mnt_open_in(int root_fd, const char *path, int flags);

/* The directory `name` directly in such a tree, made if it is absent. -ENOTDIR or -ELOOP if it
 * is something else. */
int mnt_open_dir_in(int root_fd, const char *name, mode_t mode);

/* This process gets an empty, read-only root: there is nothing to open but "/". Needs CAP_SYS_ADMIN. */
int mnt_empty_root(struct err *e);
