/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/paths.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct cleaned {
    char *out;
    size_t n;
    size_t floor; /* below it there is nothing that ".." could take away */
};

static void go_up(struct cleaned *c)
{
    while (c->n > c->floor && c->out[--c->n] != '/')
        ;
}

static int add_part(struct cleaned *c, struct str part)
{
    if (c->n + part.n + 2 > PATHS_MAX)
        return -ENAMETOOLONG;
    if (c->n > 0 && c->out[c->n - 1] != '/')
        c->out[c->n++] = '/';
    memcpy(c->out + c->n, part.p, part.n);
    c->n += part.n;
    return 0;
}

int paths_clean(struct str path, char out[PATHS_MAX])
{
    bool rooted = str_starts(path, STR("/"));
    struct cleaned c = { .out = out };
    struct str part;

    if (rooted) {
        out[c.n++] = '/';
        c.floor = 1;
    }
    while (path.n > 0) {
        (void)str_cut(path, '/', &part, &path);
        bool up = str_eq(part, STR(".."));
        if (part.n == 0 || str_eq(part, STR(".")))
            continue;
        if (up && (c.n > c.floor || rooted)) {
            go_up(&c);
            continue;
        }
        if (add_part(&c, part) < 0)
            return -ENAMETOOLONG;
        if (up)
            c.floor = c.n;
    }
    if (c.n == 0)
        out[c.n++] = '.';
    out[c.n] = '\0';
    return 0;
}

static int join_clean(struct str dir, struct str name, char out[PATHS_MAX])
{
    char joined[2 * PATHS_MAX];

    if (dir.n >= PATHS_MAX || name.n >= PATHS_MAX - 1)
        return -ENAMETOOLONG;
    memcpy(joined, dir.p, dir.n);
    joined[dir.n] = '/';
    memcpy(joined + dir.n + 1, name.p, name.n);
    return paths_clean((struct str){ joined, dir.n + 1 + name.n }, out);
}

int paths_resolve(struct str path, const char *home, const char *workdir, char out[PATHS_MAX])
{
    if (path.n == 0)
        return str_copy(str_from(workdir[0] ? workdir : home), out, PATHS_MAX);
    if (path.p[0] == '/')
        return str_copy(path, out, PATHS_MAX);
    if (home[0] != '/')
        return -EINVAL;
    if (path.p[0] != '~')
        return join_clean(str_from(home), path, out);
    if (path.n > 1 && path.p[1] != '/')
        return -EINVAL;
    return join_clean(str_from(home), str_sub(path, 1, path.n), out);
}

struct str paths_base(struct str path)
{
    if (path.n == 0)
        return STR(".");
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n == 0)
        return STR("/");
    size_t from = path.n;
    while (from > 0 && path.p[from - 1] != '/')
        from--;
    return str_sub(path, from, path.n - from);
}

int paths_join(const char *dir, struct str name, char out[PATHS_MAX])
{
    size_t n = strlen(dir);

    while (n > 1 && dir[n - 1] == '/')
        n--;
    size_t slash = n > 0 && dir[n - 1] == '/' ? 0 : 1;
    if (n + slash + name.n >= PATHS_MAX)
        return -ENAMETOOLONG;
    memmove(out, dir, n);
    if (slash)
        out[n++] = '/';
    memcpy(out + n, name.p, name.n);
    out[n + name.n] = '\0';
    return 0;
}

void paths_parent(const char *path, char out[PATHS_MAX])
{
    size_t n = strnlen(path, PATHS_MAX - 1);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    memmove(out, path, n);
    if (n == 0)
        out[n++] = path[0] == '/' ? '/' : '.';
    out[n] = '\0';
}

int paths_make_dirs(const char *path, uid_t uid, gid_t gid)
{
    char part[PATHS_MAX];
    struct stat st;
    int rc = str_copy(str_from(path), part, sizeof part);

    if (rc < 0)
        return rc;
    if (stat(part, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    for (char *end = part + strspn(part, "/"); *end;) {
        end += strcspn(end, "/");
        char slash = *end;
        *end = '\0';
        if (mkdir(part, 0755) == 0)
            (void)!lchown(part, uid, gid); /* not root (tests): the directory is ours already */
        else if (errno != EEXIST)
            return -errno;
        *end = slash;
        end += strspn(end, "/");
    }
    if (stat(part, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
