/* SPDX-License-Identifier: Apache-2.0 */
/* stage: the mount namespace in which monitors are born. It has what they and the first process
 * of a sandbox name by path while they build: /proc, six device nodes, an empty directory that
 * becomes the monitor's root, and a place to mount on. All monitors share it; none has power
 * over it, since it belongs to the host's user namespace.
 *
 * Why not a copy of the host's tree for each, emptied by umount: every mount would be copied and
 * taken down twice for each sandbox, and each umount waits for a grace period of RCU, two at a
 * time for the whole machine. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"
#include "sys/mnt.h"
#include "warden/warden.h"

static int put(int tree, const char *source, const char *name)
{
    AUTO_CLOSE int one = mnt_clone(AT_FDCWD, source);
    if (one < 0)
        return one;
    AUTO_CLOSE int at = mnt_open_in(tree, name, O_PATH);
    return at < 0 ? at : mnt_attach(one, at);
}

static int put_node(int tree, const char *path)
{
    AUTO_CLOSE int file = openat(tree, path + 1, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    return file < 0 ? -errno : put(tree, path, path + 1);
}

static int fill(int tree)
{
    static const char *const dir[] = { "proc", "dev", "tmp", "empty" };
    static const char *const node[] = { "/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty" };

    for (size_t i = 0; i < ARRAY_LEN(dir); i++)
        if (mkdirat(tree, dir[i], 0555) < 0)
            return -errno;
    int rc = put(tree, "/proc", "proc");
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(node); i++)
        rc = put_node(tree, node[i]);
    return rc < 0 ? rc : mnt_set_read_only(tree);
}

/* In a namespace of its own: the tree becomes the root, all else is gone from it. */
static int become_root(const char *at, const char **what)
{
    static const struct mnt_option options[] = { { "source", "firebreak" },
                                                 { "size", "65536" },
                                                 { "nr_inodes", "16" },
                                                 { "mode", "0555" } };
    AUTO_CLOSE int tree = mnt_make("tmpfs", options, ARRAY_LEN(options),
                                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    AUTO_CLOSE int place = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);

    *what = "make the stage's tmpfs";
    if (tree < 0 || place < 0)
        return tree < 0 ? tree : -errno;
    int rc = mnt_attach(tree, place);
    *what = "fill the stage";
    if (rc < 0 || (rc = fill(tree)) < 0)
        return rc;
    *what = "enter the stage";
    if (fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int open_own(void)
{
    return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
}

int stage_make(struct app *a, struct err *e)
{
    const char *what = NULL;

    a->home_ns_fd = open_own();
    if (a->home_ns_fd < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_set(e, errno, "unshare a mount namespace for the stage");
    int rc = become_root(a->opt.run_dir, &what);
    if (rc < 0)
        return err_set(e, -rc, "%s", what);
    a->stage_ns_fd = open_own();
    if (a->stage_ns_fd < 0 || setns(a->home_ns_fd, CLONE_NEWNS) < 0)
        return err_set(e, errno, "leave the stage");
    return 0;
}

int stage_enter(const struct app *a)
{
    return setns(a->stage_ns_fd, CLONE_NEWNS) < 0 ? -errno : 0;
}

void stage_leave(const struct app *a)
{
    /* It succeeded at start with the same rights. Were it to fail, no image or record could be
     * reached any more: the warden that follows us adopts the sandboxes. */
    ASSERT(setns(a->home_ns_fd, CLONE_NEWNS) == 0);
}
