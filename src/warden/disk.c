/* SPDX-License-Identifier: Apache-2.0 */
/* disk: the writable layer of one sandbox as a file system in a file, for templates that write more than memory should hold
 * (ADR 0044). The file is a copy of an empty one that root made, has no name, and goes with the last mount of it. What the
 * tenant can do to it goes through the kernel's ext4; it never writes the bytes of a file system that is mounted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/mnt.h"
#include "warden/warden.h"

#define FICLONE_REQUEST 0x40049409u /* linux/fs.h, which does not go with sys/mount.h */

/* STATE/layers/<MiB>.ext4, if it is root's and nobody else's to write. */
static int open_empty(const struct app *a, uint64_t bytes)
{
    char name[32];
    struct stat st;

    (void)snprintf(name, sizeof name, "%llu.ext4", (unsigned long long)(bytes >> 20));
    AUTO_CLOSE int fd = openat(a->layers_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022))
        return -EPERM;
    return (uint64_t)st.st_size == bytes ? fd_steal(&fd) : -EBADMSG;
}

/* Layers are sparse: they take what is written. One is let in only while it would fit beside all
 * that the others may still write; what they have written already is counted twice, which errs
 * on the side of those that run. `s` is in the table already. */
static bool fits(const struct app *a, const struct slot *s)
{
    uint64_t promised = s->rec.limits.disk_bytes;
    struct statvfs fs;

    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->slot[i].state != SLOT_FREE && &a->slot[i] != s &&
            (a->slot[i].rec.policy.flags & SANDBOX_DISK_FILE))
            promised += a->slot[i].rec.limits.disk_bytes; /* at most 4096 times 64 GiB */
    return fstatvfs(a->layers_fd, &fs) == 0 &&
           (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize >= promised;
}

/* Copies data and leaves the holes, which are nearly all of it. */
static int copy_sparse(int from, int to, off_t size)
{
    if (ioctl(to, FICLONE_REQUEST, from) == 0)
        return 0;
    if (ftruncate(to, size) < 0)
        return -errno;
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -errno; /* holes to the end */
        off_t hole = lseek(from, data, SEEK_HOLE);
        off_t out = data;
        while (data < hole) {
            ssize_t n = copy_file_range(from, &data, to, &out, (size_t)(hole - data), 0);
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
        }
        at = hole;
    }
    return 0;
}

static int mount_ext4(const char *source)
{
    /* Tables are not zeroed in the background, and what is deleted is given back. */
    const struct mnt_option options[] = { { "source", source },
                                          { "noinit_itable", NULL },
                                          { "discard", NULL },
                                          { "nobarrier", NULL } };
    return mnt_make("ext4", options, ARRAY_LEN(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

/* Ids inside are ids in the file, whatever the slot. */
static int map_ids(int mount_fd, int userns_fd)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP,
                               .userns_fd = (unsigned long long)userns_fd };
    return syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0
               ? -errno
               : 0;
}

int disk_make(struct app *a, const struct slot *s, int userns_fd)
{
    uint64_t bytes = s->rec.limits.disk_bytes;
    char source[32];

    if (!fits(a, s))
        return -ENOSPC;
    AUTO_CLOSE int empty = open_empty(a, bytes);
    AUTO_CLOSE int file = openat(a->layers_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (empty < 0 || file < 0)
        return empty < 0 ? empty : -errno;
    int rc = copy_sparse(empty, file, (off_t)bytes);
    if (rc < 0)
        return rc;
    AUTO_CLOSE int loop = loop_open(file, true, source);
    if (loop < 0)
        return loop;
    AUTO_CLOSE int m = mount_ext4(source);
    if (m < 0)
        return m;
    if (mkdirat(m, "upper", 0755) < 0 || mkdirat(m, "work", 0755) < 0)
        return -errno;
    rc = map_ids(m, userns_fd);
    return rc < 0 ? rc : fd_steal(&m);
}
