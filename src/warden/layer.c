/* SPDX-License-Identifier: Apache-2.0 */
/* layer: the overlay of one sandbox made by the warden, for kernels whose tmpfs has no user
 * xattrs (before Linux 6.6): there an overlay that was mounted inside a user namespace cannot
 * mark a directory as opaque, and removing one breaks. Elsewhere init mounts its overlay
 * itself, without any privilege on the host, which is better (ADR 0010). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "warden/warden.h"

#define LAYER_FLAGS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static int set_option(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

static int create(int fs)
{
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    long m = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, LAYER_FLAGS);
    return m < 0 ? -errno : (int)m;
}

static int open_fs(const char *type)
{
    long fs = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    return fs < 0 ? -errno : (int)fs;
}

static int make_tmpfs(uint64_t bytes, uint64_t inodes)
{
    char size[32], count[32];
    AUTO_CLOSE int fs = open_fs("tmpfs");

    (void)snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    (void)snprintf(count, sizeof count, "%llu", (unsigned long long)inodes);
    if (fs < 0)
        return fs;
    int rc = set_option(fs, "size", size);
    if (rc == 0)
        rc = set_option(fs, "nr_inodes", count);
    if (rc == 0)
        rc = set_option(fs, "mode", "0755");
    return rc < 0 ? rc : create(fs);
}

bool layer_needed(void)
{
    AUTO_CLOSE int m = make_tmpfs(1 << 20, 16);
    AUTO_CLOSE int root = m < 0 ? -1 : openat(m, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

    return root >= 0 && fsetxattr(root, "user.probe", "1", 1, 0) < 0 && errno == EOPNOTSUPP;
}

/* The directories of the layers; the upper one belongs to the sandbox's root. */
static int fill(const struct app *a, const struct slot *s, int dir, int lower_fd)
{
    if (mkdirat(dir, "lower", 0755) < 0 || mkdirat(dir, "upper", 0755) < 0 ||
        mkdirat(dir, "work", 0755) < 0)
        return -errno;
    if (fchownat(dir, "upper", table_uid(a, s), table_uid(a, s), AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (syscall(SYS_move_mount, lower_fd, "", dir, "lower", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int make_overlay(int dir)
{
    static const char *const part[][2] = { { "lowerdir", "lower" },
                                           { "upperdir", "upper" },
                                           { "workdir", "work" } };
    AUTO_CLOSE int fs = open_fs("overlay");
    char path[64];

    if (fs < 0)
        return fs;
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, part[i][1]);
        int rc = set_option(fs, part[i][0], path);
        if (rc < 0)
            return rc;
    }
    return create(fs);
}

static int make_in(struct app *a, const struct slot *s, const char *name, int lower_fd,
                   int *layer_fd)
{
    AUTO_CLOSE int m = make_tmpfs(s->rec.limits.disk_bytes, s->rec.limits.disk_inodes);

    if (m < 0)
        return m;
    if (syscall(SYS_move_mount, m, "", a->images_fd, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    AUTO_CLOSE int dir = openat(a->images_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int rc = fill(a, s, dir, lower_fd);
    if (rc < 0)
        return rc;
    AUTO_CLOSE int root = make_overlay(dir);
    AUTO_CLOSE int upper = openat(dir, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || upper < 0)
        return root < 0 ? root : -errno;
    *layer_fd = fd_steal(&upper);
    return fd_steal(&root);
}

int layer_make(struct app *a, const struct slot *s, int lower_fd, int *layer_fd)
{
    char name[16], path[64];

    (void)snprintf(name, sizeof name, "%u", table_index(a, s));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", a->images_fd, name);
    if (mkdirat(a->images_fd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int rc = make_in(a, s, name, lower_fd, layer_fd);
    /* The overlay holds its layers; the place where they were put together goes. */
    (void)umount2(path, MNT_DETACH);
    (void)unlinkat(a->images_fd, name, AT_REMOVEDIR);
    return rc;
}
