// SPDX-License-Identifier: Apache-2.0
// hostile_probe: is /bin/bash in the trees of hostile_tree.c. Says `posture ok` and how many devices would not open, or what is not
// as a sandbox must be, whatever image it started from. The canary's path was compiled in.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static int wrong, devices;

static void fault(const char *what, const char *about)
{
    printf("FAULT %s %s\n", about, what);
    wrong++;
}

static void mounted(const char *path, long type, unsigned long flags)
{
    struct stat st;
    struct statfs fs;
    struct statvfs v;
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        fault("is not a directory", path);
    else if (statfs(path, &fs) < 0 || fs.f_type != type)
        fault("is not what should be mounted there", path);
    else if (statvfs(path, &v) < 0 || (v.f_flag & flags) != flags)
        fault("is mounted with too few restrictions", path);
}

static void shut(const char *path, int flags)
{
    char byte;
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if ((flags & O_ACCMODE) != O_RDONLY || read(fd, &byte, 1) > 0)
        fault(flags == O_RDONLY ? "can be read" : "opens for writing", path);
    close(fd);
}

static int one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)type;
    (void)at;
    if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
        return 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0)
        fault("is a device that opens", path);
    devices++;
    return 0;
}

int main(void)
{
    mounted("/", OVERLAYFS_SUPER_MAGIC, ST_NOSUID | ST_NODEV);
    mounted("/proc", PROC_SUPER_MAGIC, ST_NOSUID | ST_NODEV | ST_NOEXEC);
    mounted("/dev", TMPFS_MAGIC, ST_RDONLY | ST_NOSUID | ST_NOEXEC);
    mounted("/sys", TMPFS_MAGIC, ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
    mounted("/run", TMPFS_MAGIC, ST_NOSUID | ST_NODEV);
    shut("/proc/sys/kernel/core_pattern", O_WRONLY);
    shut("/proc/sys/kernel/hostname", O_WRONLY);
    shut("/proc/kcore", O_RDONLY);
    shut("/proc/keys", O_RDONLY);
    shut("/proc/kallsyms", O_RDONLY);
    shut("/proc/timer_list", O_RDONLY);
    shut(CANARY "/file", O_RDONLY);
    shut("/proc/1/root" CANARY "/file", O_RDONLY);
    shut("/proc/self/cwd/../../../../.." CANARY "/file", O_RDONLY);
    nftw("/", one, 64, FTW_PHYS | FTW_MOUNT);
    return wrong ? 1 : printf("posture ok, %d devices shut\n", devices) < 0;
}
