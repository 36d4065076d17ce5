/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif

static int set_option(int fs, const struct mnt_option *o)
{
    long rc = o->value ? syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, o->key, o->value, 0)
                       : syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, o->key, NULL, 0);
    return rc < 0 ? -errno : 0;
}

int mnt_make(const char *type, const struct mnt_option *options, size_t n, unsigned attr)
{
    AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

    if (fs < 0)
        return -errno;
    for (size_t i = 0; i < n; i++) {
        int rc = set_option(fs, &options[i]);
        if (rc < 0)
            return rc;
    }
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    long m = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr);
    return m < 0 ? -errno : (int)m;
}

int mnt_clone(int dir_fd, const char *path)
{
    long fd = syscall(SYS_open_tree, dir_fd, path,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW |
                          (*path ? 0 : AT_EMPTY_PATH));
    return fd < 0 ? -errno : (int)fd;
}

int mnt_attach(int mount_fd, int at_fd)
{
    return syscall(SYS_move_mount, mount_fd, "", at_fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

int mnt_set_read_only(int mount_fd)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    return syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0
               ? -errno
               : 0;
}

int mnt_open_in(int root_fd, const char *path, int flags)
{
    struct open_how how = { .flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
                                       RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
    long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    struct stat st;

    if (fd < 0)
        return -errno;
    AUTO_CLOSE int got = (int)fd;
    if (fstat(got, &st) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode)) /* O_PATH with O_NOFOLLOW opens the link itself */
        return -ELOOP;
    return fd_steal(&got);
}

int mnt_open_dir_in(int root_fd, const char *name, mode_t mode)
{
    if (mkdirat(root_fd, name, mode) < 0 && errno != EEXIST)
        return -errno;
    return mnt_open_in(root_fd, name, O_PATH | O_DIRECTORY);
}

int mnt_empty_root(struct err *e)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("empty", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=0,nr_inodes=2,mode=0555") < 0)
        return err_set(e, errno, "make an empty root");
    if (chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_set(e, errno, "change to the empty root");
    if (mount(NULL, "/", NULL,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return err_set(e, errno, "make the root read-only");
    return open("/proc", O_PATH | O_CLOEXEC) >= 0
               ? err_say(e, EPERM, "the root is not empty after changing it")
               : 0;
}
