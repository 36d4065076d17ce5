/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "envd/paths.h"

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* --- walking in order: one sorted list of names a level --- */

struct level {
    char **name;
    size_t n, next;
    size_t path_n; /* length of the path of the directory */
};

struct walk {
    struct level *level; /* TREE_DEPTH_MAX of them at most */
    size_t n_levels, cap;
    size_t entries, max_entries;
    char path[PATHS_MAX];
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void level_fini(struct level *l)
{
    for (size_t i = l->next; i < l->n; i++)
        free(l->name[i]);
    free(l->name);
}

static void walk_fini(struct walk *w)
{
    for (size_t i = 0; i < w->n_levels; i++)
        level_fini(&w->level[i]);
    free(w->level);
}

static int read_names(DIR *d, struct walk *w, struct level *l)
{
    size_t cap = 0;

    for (;;) {
        struct dirent *e = readdir(d);
        if (!e)
            return 0;
        if (is_dot(e->d_name))
            continue;
        if (++w->entries > w->max_entries)
            return -E2BIG;
        if (l->n == cap) {
            cap = cap ? cap * 2 : 32; /* bounded by max_entries */
            char **more = reallocarray(l->name, cap, sizeof *more);
            if (!more)
                return -ENOMEM;
            l->name = more;
        }
        l->name[l->n] = strdup(e->d_name);
        if (!l->name[l->n])
            return -ENOMEM;
        l->n++;
    }
}

/* Enters the directory at w->path. */
static int descend(struct walk *w, bool follow)
{
    struct level l = { .path_n = strlen(w->path) };
    int fd = open(w->path,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        int rc = -errno;
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    int rc = w->n_levels == TREE_DEPTH_MAX ? -E2BIG : 0;
    if (rc == 0 && w->n_levels == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 8;
        struct level *more = reallocarray(w->level, cap, sizeof *more);
        if (more)
            w->level = more, w->cap = cap;
        else
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = read_names(d, w, &l);
    (void)closedir(d);
    if (rc < 0) {
        level_fini(&l);
        return rc;
    }
    if (l.n > 1)
        qsort(l.name, l.n, sizeof *l.name, by_bytes);
    w->level[w->n_levels++] = l;
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int step(struct walk *w, unsigned depth, int (*visit)(const char *path, void *arg),
                void *arg)
{
    struct level *l = &w->level[w->n_levels - 1];

    w->path[l->path_n] = '\0';
    if (l->next == l->n) {
        level_fini(l);
        w->n_levels--;
        return 0;
    }
    AUTO_FREE char *name = l->name[l->next++];
    if (paths_join(w->path, (struct str){ name, strlen(name) }, w->path) < 0)
        return 0; /* too long to be named by anybody */
    int rc = visit(w->path, arg);
    if (rc != 0 || w->n_levels >= depth || !is_directory(w->path))
        return rc;
    rc = descend(w, false);
    return rc == -E2BIG || rc == -ENOMEM ? rc : 0;
}

int tree_walk(const char *root, unsigned depth, size_t max_entries,
              int (*visit)(const char *path, void *arg), void *arg)
{
    __attribute__((cleanup(walk_fini))) struct walk w = { .max_entries = max_entries };
    int rc = str_copy(str_from(root), w.path, sizeof w.path);

    if (rc == 0)
        rc = descend(&w, true);
    while (rc == 0 && w.n_levels > 0)
        rc = step(&w, depth, visit, arg);
    return rc;
}

/* --- removing: by descriptors, since paths may be longer than PATH_MAX and links may appear at any time --- */

struct removal {
    DIR *dir[TREE_DEPTH_MAX];
    char *name[TREE_DEPTH_MAX]; /* of dir[i], in dir[i - 1] */
    bool again
        [TREE_DEPTH_MAX]; /* something went: what was skipped for that is found by another pass */
    size_t n;
    int error; /* the first failure */
};

static void note(struct removal *r, int error)
{
    if (r->error == 0)
        r->error = error;
}

/* True if the entry is gone; else it may be a directory to enter. */
static bool unlink_entry(struct removal *r, int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0) {
        if (r->n > 0)
            r->again[r->n - 1] = true;
        return true;
    }
    if (errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        note(r, errno);
    return errno != EISDIR && errno != EPERM;
}

static bool enter(struct removal *r, int dir_fd, const char *name)
{
    if (r->n == TREE_DEPTH_MAX) {
        note(r, E2BIG);
        return false;
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        note(r, errno == ENOTDIR ? EPERM : errno);
        return false;
    }
    r->dir[r->n] = fdopendir(fd);
    r->name[r->n] = strdup(name);
    if (!r->dir[r->n] || !r->name[r->n]) {
        if (r->dir[r->n])
            (void)closedir(r->dir[r->n]);
        else
            (void)close(fd);
        free(r->name[r->n]);
        note(r, ENOMEM);
        return false;
    }
    r->again[r->n] = false;
    r->n++;
    return true;
}

/* The directory on top has been emptied as far as it goes: out of it, and away with it. */
static void leave(struct removal *r, int top_fd)
{
    r->n--;
    AUTO_FREE char *name = r->name[r->n];
    (void)closedir(r->dir[r->n]);
    int parent = r->n > 0 ? dirfd(r->dir[r->n - 1]) : top_fd;
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
        note(r, errno);
    else if (r->n > 0)
        r->again[r->n - 1] = true;
}

/* One entry of the directory on top. */
static void remove_next(struct removal *r, int top_fd)
{
    DIR *d = r->dir[r->n - 1];
    struct dirent *e = readdir(d);

    if (e) {
        if (!is_dot(e->d_name) && !unlink_entry(r, dirfd(d), e->d_name))
            (void)enter(r, dirfd(d), e->d_name);
    } else if (r->again[r->n - 1]) {
        r->again[r->n - 1] = false;
        rewinddir(d);
    } else {
        leave(r, top_fd);
    }
}

int tree_remove(const char *path)
{
    char parent[PATHS_MAX], name[PATHS_MAX];

    if (strlen(path) >= PATHS_MAX)
        return -ENAMETOOLONG;
    paths_parent(path, parent);
    if (str_copy(paths_base(str_from(path)), name, sizeof name) < 0 || is_dot(name) ||
        strcmp(name, "/") == 0)
        return -EINVAL;
    AUTO_CLOSE int top = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    AUTO_FREE struct removal *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    if (!unlink_entry(r, top, name))
        (void)enter(r, top, name);
    while (r->n > 0)
        remove_next(r, top);
    /* What failed in one pass may have gone in the next: what counts is the result. */
    return faccessat(top, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT ? 0
                                                                                  : -r->error;
}
