/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "envd/paths.h"
#include "envd/tree.h"

#define MASK                                                                                   \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_MODIFY | IN_DELETE | IN_DELETE_SELF |        \
     IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR | IN_EXCL_UNLINK)
#define SCAN_ENTRIES_MAX 1000000u
#define SCANNED_MAX      1024u
#define FUSE_MAGIC       0x65735546UL
#define CIFS_MAGIC       0xff534d42UL
#define SMB_2_MAGIC      0xfe534d42UL

struct dir {
    int wd;
    char *name; /* relative; "" for the root */
};

struct watch {
    int fd;
    bool recursive;
    char root[PATHS_MAX];
    struct dir *dir; /* sorted by wd: the kernel counts upwards */
    size_t n_dirs, cap;
    /* Told as found in a new directory; the kernel may still have their creation in its queue. */
    char *scanned[SCANNED_MAX];
    size_t n_scanned;
};

const char *watch_op_name(enum watch_op op)
{
    static const char *const name[] = { [WATCH_CREATE] = "EVENT_TYPE_CREATE",
                                        [WATCH_WRITE] = "EVENT_TYPE_WRITE",
                                        [WATCH_REMOVE] = "EVENT_TYPE_REMOVE",
                                        [WATCH_RENAME] = "EVENT_TYPE_RENAME",
                                        [WATCH_CHMOD] = "EVENT_TYPE_CHMOD" };
    return name[op];
}

bool watch_is_remote(const char *path)
{
    struct statfs fs;

    if (statfs(path, &fs) < 0)
        return false;
    unsigned long type = (unsigned long)fs.f_type & 0xffffffffUL;
    return type == NFS_SUPER_MAGIC || type == SMB_SUPER_MAGIC || type == CIFS_MAGIC ||
           type == SMB_2_MAGIC || type == FUSE_MAGIC;
}

/* --- the table of directories --- */

static size_t find_wd(const struct watch *w, int wd) /* where it is, or belongs */
{
    size_t low = 0, high = w->n_dirs;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (w->dir[mid].wd < wd)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct dir *dir_of(struct watch *w, int wd)
{
    size_t at = find_wd(w, wd);
    return at < w->n_dirs && w->dir[at].wd == wd ? &w->dir[at] : NULL;
}

static bool is_known(const struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->n_dirs; i++)
        if (strcmp(w->dir[i].name, name) == 0)
            return true;
    return false;
}

static void forget_at(struct watch *w, size_t at)
{
    free(w->dir[at].name);
    w->n_dirs--;
    memmove(w->dir + at, w->dir + at + 1, (w->n_dirs - at) * sizeof *w->dir);
}

static int remember(struct watch *w, int wd, const char *name)
{
    struct dir *old = dir_of(w, wd);
    AUTO_FREE char *copy = strdup(name);

    if (!copy)
        return -ENOMEM;
    if (old) { /* the same directory under a new name */
        free(old->name);
        old->name = ptr_steal(&copy);
        return 0;
    }
    if (w->n_dirs == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 4; /* bounded by WATCH_DIRS_MAX */
        struct dir *more = calloc(
            cap, sizeof *more); /* not realloc: gcc 12's analyser takes its result for freed */
        if (!more)
            return -ENOMEM;
        if (w->dir)
            memcpy(more, w->dir, w->n_dirs * sizeof *more);
        free(w->dir);
        w->dir = more;
        w->cap = cap;
    }
    size_t at = find_wd(w, wd);
    memmove(w->dir + at + 1, w->dir + at, (w->n_dirs - at) * sizeof *w->dir);
    w->dir[at] = (struct dir){ wd, ptr_steal(&copy) };
    w->n_dirs++;
    return 0;
}

static int add(struct watch *w, const char *path, const char *name)
{
    if (w->n_dirs >= WATCH_DIRS_MAX)
        return -E2BIG;
    int wd = inotify_add_watch(w->fd, path, MASK | (name[0] ? IN_DONT_FOLLOW : 0));
    return wd < 0 ? -errno : remember(w, wd, name);
}

/* A directory left the tree: what we still hear from it would be told under a wrong name. */
static void forget_below(struct watch *w, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = w->n_dirs; i-- > 0;) {
        const char *one = w->dir[i].name;
        if (strncmp(one, name, n) != 0 || (one[n] != '\0' && one[n] != '/'))
            continue;
        (void)inotify_rm_watch(w->fd, w->dir[i].wd); /* it may be gone already */
        forget_at(w, i);
    }
}

/* --- scanning --- */

struct scan {
    struct watch *w;
    void (*tell)(void *arg, const char *name, enum watch_op op); /* NULL: only add watches */
    void *arg;
};

static const char *relative(const struct watch *w, const char *path)
{
    size_t n = strlen(w->root);

    while (n > 0 && w->root[n - 1] == '/')
        n--;
    path += n;
    return path + strspn(path, "/");
}

static int scan_one(const char *path, void *arg)
{
    struct scan *s = arg;
    const char *name = relative(s->w, path);
    struct stat st;
    int rc = 0;

    if (lstat(path, &st) < 0)
        return 0;
    bool known = S_ISDIR(st.st_mode) && is_known(s->w, name);
    if (S_ISDIR(st.st_mode) && !known)
        rc = add(s->w, path, name);
    if (rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES)
        return 0; /* it went, or it is closed to us */
    if (s->tell && !known) {
        s->tell(s->arg, name, WATCH_CREATE);
        if (!S_ISDIR(st.st_mode) && s->w->n_scanned < SCANNED_MAX &&
            (s->w->scanned[s->w->n_scanned] = strdup(name)))
            s->w->n_scanned++;
    }
    return rc;
}

/* A directory appeared in a recursive watch. What is in it already came before we could watch it. */
static void take_in(struct watch *w, const char *name,
                    void (*tell)(void *arg, const char *name, enum watch_op op), void *arg)
{
    struct scan s = { w, tell, arg };
    char path[PATHS_MAX];

    if (paths_join(w->root, str_from(name), path) < 0 || add(w, path, name) < 0)
        return;
    (void)tree_walk(path, TREE_DEPTH_MAX, SCAN_ENTRIES_MAX, scan_one, &s);
}

int watch_new(struct watch **out, const char *root, bool recursive)
{
    struct watch *w = calloc(1, sizeof *w);
    int rc;

    if (!w)
        return -ENOMEM;
    w->recursive = recursive;
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    rc = w->fd < 0 ? -errno : str_copy(str_from(root), w->root, sizeof w->root);
    if (rc == 0)
        rc = add(w, root, "");
    if (rc == 0 && recursive) {
        struct scan s = { .w = w };
        rc = tree_walk(root, TREE_DEPTH_MAX, SCAN_ENTRIES_MAX, scan_one, &s);
    }
    if (rc < 0) {
        watch_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

static void forget_scanned(struct watch *w)
{
    while (w->n_scanned > 0)
        free(w->scanned[--w->n_scanned]);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        (void)close(w->fd);
    while (w->n_dirs > 0)
        forget_at(w, w->n_dirs - 1);
    free(w->dir);
    forget_scanned(w);
    free(w);
}

int watch_fd(const struct watch *w)
{
    return w->fd;
}

const char *watch_root(const struct watch *w)
{
    return w->root;
}

/* --- events --- */

/* Was it told by a scan already? Then this is the same creation, arriving late. */
static bool was_scanned(struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->n_scanned; i++)
        if (strcmp(w->scanned[i], name) == 0) {
            free(w->scanned[i]);
            w->scanned[i] = w->scanned[--w->n_scanned];
            return true;
        }
    return false;
}

static void tell_self(uint32_t mask,
                      void (*tell)(void *arg, const char *name, enum watch_op op), void *arg)
{
    if (mask & IN_MOVE_SELF)
        tell(arg, ".", WATCH_RENAME);
    if (mask & IN_ATTRIB)
        tell(arg, ".", WATCH_CHMOD);
    if (mask & IN_DELETE_SELF)
        tell(arg, ".", WATCH_REMOVE);
}

static void tell_entry(struct watch *w, const char *name, uint32_t mask,
                       void (*tell)(void *arg, const char *name, enum watch_op op), void *arg)
{
    bool is_dir = (mask & IN_ISDIR) != 0;

    if (mask & (IN_CREATE | IN_MOVED_TO)) {
        bool known = is_dir ? w->recursive && is_known(w, name) : was_scanned(w, name);
        if (!known)
            tell(arg, name, WATCH_CREATE);
        if (is_dir && w->recursive &&
            !known) /* a moved directory brings what it holds along, untold */
            take_in(w, name, mask & IN_CREATE ? tell : NULL, arg);
    }
    if (mask & IN_MOVED_FROM) {
        if (is_dir && w->recursive)
            forget_below(w, name);
        tell(arg, name, WATCH_RENAME);
    }
    if (mask & IN_ATTRIB)
        tell(arg, name, WATCH_CHMOD);
    if (mask & IN_MODIFY)
        tell(arg, name, WATCH_WRITE);
    if (mask & IN_DELETE)
        tell(arg, name, WATCH_REMOVE);
}

static int handle(struct watch *w, const struct inotify_event *e,
                  void (*tell)(void *arg, const char *name, enum watch_op op), void *arg)
{
    char name[PATHS_MAX];

    if (e->mask & IN_Q_OVERFLOW)
        return -EOVERFLOW;
    struct dir *d = dir_of(w, e->wd);
    if (!d)
        return 0; /* of a directory that we forgot */
    if (e->len == 0) {
        if (d->name[0] == '\0')
            tell_self(e->mask, tell, arg);
        if (e->mask & IN_IGNORED)
            forget_at(w, (size_t)(d - w->dir));
        return 0;
    }
    struct str base = str_from(e->name); /* padded with NULs by the kernel */
    int rc = d->name[0] ? paths_join(d->name, base, name) : str_copy(base, name, sizeof name);
    if (rc == 0)
        tell_entry(w, name, e->mask, tell, arg);
    return 0;
}

int watch_read(struct watch *w, void (*tell)(void *arg, const char *name, enum watch_op op),
               void *arg)
{
    union {
        struct inotify_event align;
        char bytes[8192];
    } u;
    struct inotify_event e;
    int rc = 0;

    for (;;) {
        ssize_t n = read(w->fd, &u, sizeof u);
        if (n <= 0)
            break;
        for (char *at = u.bytes; at < u.bytes + n; at += sizeof e + e.len) {
            memcpy(&e, at, sizeof e); /* len of the copy: `handle` reads the name in place */
            int one = handle(w, (const struct inotify_event *)(void *)at, tell, arg);
            rc = rc ? rc : one;
        }
    }
    forget_scanned(w); /* the queue is empty: nothing told by a scan can be in it any more */
    return rc;
}
