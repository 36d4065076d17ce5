/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

#define SWITCH "/proc/sys/net/ipv4/ip_forward"

/* -errno, 0 or 1. */
static int read_switch(void)
{
    char c = '0';
    AUTO_CLOSE int fd = open(SWITCH, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, &c, 1) != 1)
        return fd < 0 ? -errno : -EIO;
    return c != '0';
}

static int write_switch(const char *value)
{
    AUTO_CLOSE int fd = open(SWITCH, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, value, 1) == 1 ? 0 : -errno;
}

#define PATH_N 64
/* One file for each network namespace: an instance in another one has a switch of its own. */
static int memory_path(char path[PATH_N], struct err *e)
{
    struct stat ns;

    if (stat("/proc/self/ns/net", &ns) < 0)
        return err_set(e, errno, "look at the network namespace");
    (void)snprintf(path, PATH_N, "/run/firebreak-forwarding-%llu",
                   (unsigned long long)ns.st_ino);
    return 0;
}

/* Opened and locked, and still the file of that name: the last user removes it. -EAGAIN if not. */
static int try_memory(const char *path, struct err *e)
{
    struct stat st, named;
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 || flock(fd, LOCK_SH) < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "open and lock '%s'", path);
    if (st.st_uid != 0 || !S_ISREG(st.st_mode))
        return err_say(e, EPERM, "'%s' must be a file of root's", path);
    if (lstat(path, &named) < 0 || named.st_ino != st.st_ino)
        return err_set(e, EAGAIN, "lock '%s'", path);
    return fd_steal(&fd);
}

static int open_memory(struct err *e)
{
    char path[PATH_N];
    int fd = memory_path(path, e);

    if (fd < 0)
        return fd;
    do
        fd = try_memory(path, e);
    while (fd == -EAGAIN);
    return fd;
}

int net_forward_look(struct net_forwarding *f, struct err *e)
{
    char was = '1';

    f->fd = open_memory(e);
    if (f->fd < 0)
        return -e->code;
    int on = read_switch();
    if (on < 0)
        return err_set(e, -on, "read " SWITCH);
    if (pread(f->fd, &was, 1, 0) != 1) /* nobody of ours has changed it */
        was = on ? '1' : '0';
    f->was_off = was == '0';
    return 0;
}

int net_forward_on(struct net_forwarding *f, struct err *e)
{
    int on = read_switch();

    if (on == 1)
        return 0;
    if (on < 0 || pwrite(f->fd, "0", 1, 0) != 1)
        return err_set(e, on < 0 ? -on : errno, "remember that forwarding was off");
    int rc = write_switch("1");
    if (rc < 0)
        return err_set(e, -rc, "turn on forwarding (" SWITCH ")");
    f->turned_on = true;
    return 0;
}

void net_forward_done(struct net_forwarding *f)
{
    char was = '1', path[PATH_N];
    struct err ignored;

    if (f->fd < 0)
        return;
    if (flock(f->fd, LOCK_EX | LOCK_NB) == 0) { /* nobody else needs it */
        if (pread(f->fd, &was, 1, 0) == 1 && was == '0')
            (void)write_switch("0");
        if (memory_path(path, &ignored) == 0)
            (void)unlink(path); /* under the lock: whoever opens it now looks again */
    }
    (void)close(f->fd);
    f->fd = -1;
}
