/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "warden/warden.h"

#define DIGEST_TEXT (2 * sizeof(struct image_digest) + 1)

static void digest_text(const struct image_digest *d, char out[DIGEST_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof d->byte; i++) {
        out[2 * i] = hex[d->byte[i] >> 4];
        out[2 * i + 1] = hex[d->byte[i] & 15];
    }
    out[DIGEST_TEXT - 1] = 0;
}

/* Moving a process between v1 groups takes a lock whose idle cost is some 11 ms; this switch
 * makes it cheap, for the whole host and until it reboots. Where the kernel
 * lacks it, starts are slower and nothing else. */
static void favour_moves(const char *at)
{
    bool on = mount("none", at, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                    "none,name=firebreak,favordynmods") == 0;
    if (on)
        (void)umount2(at, MNT_DETACH);
    log_info("cgroup_favordynmods", "on=%d", on);
}

/* Images are mounted in a mount namespace of our own: the host's mount table never shows them,
 * and they go with us. */
int images_prepare(struct app *a, struct err *e)
{
    char dir[256];

    if (snprintf(dir, sizeof dir, "%s/mnt", a->opt.run_dir) >= (int)sizeof dir)
        return err_say(e, ENAMETOOLONG, "--run is too long: at most 250 bytes");
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, errno, "make '%s'", dir);
    if (unshare(CLONE_NEWNS) < 0)
        return err_set(e, errno, "unshare the mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_set(e, errno, "make mounts private");
    favour_moves(dir);
    if (mount("firebreak", dir, "tmpfs", MS_NOSUID | MS_NODEV,
              "size=32m,nr_inodes=256,mode=0700") < 0)
        return err_set(e, errno, "mount a tmpfs on '%s'", dir);
    if (mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0)
        return err_set(e, errno, "make '%s' private", dir);
    a->images_fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    return a->images_fd < 0 ? err_set(e, errno, "open '%s'", dir) : 0;
}

/* The image file: named by its digest in a directory that is ours, and root's to write. */
static int open_image(struct app *a, const struct image_digest *d)
{
    char name[DIGEST_TEXT + 8];
    char hex[DIGEST_TEXT];
    struct stat st;

    digest_text(d, hex);
    (void)snprintf(name, sizeof name, "%s.erofs", hex);
    AUTO_CLOSE int fd = openat(a->templates_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022))
        return -EPERM;
    return fd_steal(&fd);
}

/* For erofs from a block device on kernels before 6.12, and for disk.c. The device frees itself
 * with the last mount. */
int loop_open(int file_fd, bool writable, char source[32])
{
    struct loop_config config = {
        .fd = (uint32_t)file_fd,
        .info.lo_flags = LO_FLAGS_AUTOCLEAR | (writable ? 0u : (uint32_t)LO_FLAGS_READ_ONLY)
    };
    AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    if (control < 0)
        return -errno;
    for (int tries = 0; tries < 16; tries++) { /* somebody else may take the free one first */
        int n = ioctl(control, LOOP_CTL_GET_FREE);
        if (n < 0)
            return -errno;
        (void)snprintf(source, 32, "/dev/loop%d", n);
        AUTO_CLOSE int fd = open(source, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
            return fd_steal(&fd); /* held until it is mounted */
        if (errno != EBUSY)
            return -errno;
    }
    return -EBUSY;
}

static int try_mount(const char *source)
{
    AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);

    if (fs < 0)
        return -errno;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    long m = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    return m < 0 ? -errno : (int)m;
}

static int mount_image(int image_fd)
{
    char source[32];

    (void)snprintf(source, sizeof source, "/proc/self/fd/%d", image_fd);
    int m = try_mount(source);
    if (m != -ENOTBLK)
        return m;
    AUTO_CLOSE int loop = loop_open(image_fd, false, source);
    return loop < 0 ? loop : try_mount(source);
}

static bool in_use(const struct app *a, const struct image *im)
{
    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->slot[i].state != SLOT_FREE &&
            memcmp(&a->slot[i].rec.image, &im->digest, sizeof im->digest) == 0)
            return true;
    return false;
}

static void forget(struct app *a, struct image *im)
{
    char hex[DIGEST_TEXT];
    char path[DIGEST_TEXT + 64];

    digest_text(&im->digest, hex);
    (void)close(im->fd);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", a->images_fd, hex);
    (void)umount2(path, MNT_DETACH);
    (void)unlinkat(a->images_fd, hex, AT_REMOVEDIR);
    *im = (struct image){ 0 };
}

/* A free place in the table, made by forgetting an image that no sandbox uses. */
static struct image *find_place(struct app *a)
{
    struct image *unused = NULL;

    for (size_t i = 0; i < MAX_IMAGES; i++) {
        if (!a->image[i].used)
            return &a->image[i];
        if (!in_use(a, &a->image[i]))
            unused = &a->image[i];
    }
    if (unused)
        forget(a, unused);
    return unused;
}

static int load_image(struct app *a, const struct image_digest *d, struct image **out)
{
    char hex[DIGEST_TEXT];
    struct image *im = find_place(a);

    if (!im)
        return -ENOSPC;
    AUTO_CLOSE int file = open_image(a, d);
    if (file < 0)
        return file;
    AUTO_CLOSE int m = mount_image(file);
    if (m < 0)
        return m;
    digest_text(d, hex);
    if (mkdirat(a->images_fd, hex, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (syscall(SYS_move_mount, m, "", a->images_fd, hex, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    *im = (struct image){ .used = true, .digest = *d, .fd = fd_steal(&m) };
    *out = im;
    return 0;
}

static int find_image(struct app *a, const struct image_digest *d, struct image **out)
{
    for (size_t i = 0; i < MAX_IMAGES; i++) {
        if (a->image[i].used && memcmp(&a->image[i].digest, d, sizeof *d) == 0) {
            *out = &a->image[i];
            return 0;
        }
    }
    return load_image(a, d, out);
}

static int clone_tree(int from_fd, const struct mount_attr *attr)
{
    long fd = syscall(SYS_open_tree, from_fd, "",
                      AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return -errno;
    AUTO_CLOSE int tree = (int)fd;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, attr, sizeof *attr) < 0)
        return -errno;
    return fd_steal(&tree);
}

int image_clone(struct app *a, const struct image_digest *digest, int userns_fd)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY |
                                           MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                               .userns_fd = (unsigned long long)userns_fd };
    struct image *im = NULL;
    int rc = find_image(a, digest, &im);

    return rc < 0 ? rc : clone_tree(im->fd, &attr);
}

static ssize_t copy_chunk(int from, int to)
{
    char block[65536];
    ssize_t n = read(from, block, sizeof block);

    if (n <= 0)
        return n < 0 ? -errno : 0;
    ssize_t w = write(to, block, (size_t)n);
    return w == n ? n : w < 0 ? -errno : -ENOSPC;
}

/* One copy of envd in our own tmpfs serves every sandbox: a sandbox's mount table then shows
 * nothing of the host's disks, and replacing the file on the host does not change what runs. */
int agent_load(struct app *a, struct err *e)
{
    AUTO_CLOSE int from = open(a->opt.envd_path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int to =
        openat(a->images_fd, "envd", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0555);
    struct stat st;

    if (from < 0 || to < 0 || fstat(from, &st) < 0)
        return err_set(e, errno, "open '%s'", a->opt.envd_path);
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return err_say(e, EACCES, "'%s' is not a program", a->opt.envd_path);
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = copy_chunk(from, to);
        if (n <= 0)
            return err_set(e, n < 0 ? (int)-n : EIO, "copy '%s'", a->opt.envd_path);
        done += n;
    }
    (void)close(fd_steal(&to)); /* or executing it would fail with ETXTBSY */
    a->agent_fd = openat(a->images_fd, "envd", O_PATH | O_CLOEXEC);
    return a->agent_fd < 0 ? err_set(e, errno, "open the copy of '%s'", a->opt.envd_path) : 0;
}

int agent_clone(struct app *a)
{
    const struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                 MOUNT_ATTR_NODEV };
    return clone_tree(a->agent_fd, &attr);
}
