/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/filesystem_rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "codec/json.h"
#include "envd/app.h"
#include "envd/entry.h"
#include "envd/paths.h"
#include "envd/tree.h"
#include "envd/watch_rpc.h"

#define ENTRY_MAX (1u << 20)
#define LIST_MAX  (64u << 20)

int filesystem_path(struct rpc *r, const char *field, const struct user *who, char *out)
{
    char workdir[PATHS_MAX];
    const char *path = "";
    struct err e;

    if (json_get_str(r->req, field, PATHS_MAX - 1, &path, &e) < 0)
        return rpc_fail_field(r, &e);
    settings_default_workdir(&r->app->settings, workdir);
    int rc = paths_resolve(str_from(path), who->home, workdir, out);
    if (rc < 0)
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "failed to resolve path '%s': %s", path,
                        rc == -ENAMETOOLONG ? "too long" : "cannot expand user-specific home");
    return 0;
}

static void reply_entry(struct rpc *r, const char *path, struct users *files)
{
    AUTO_BUF struct buf json = BUF_INIT(ENTRY_MAX);

    buf_add_cstr(&json, "{\"entry\":");
    int rc = entry_write(path, files, &json);
    buf_add_char(&json, '}');
    if (rc == -ENOENT || rc == -ENOTDIR)
        (void)rpc_fail(r, CONNECT_NOT_FOUND, "file not found: %s", path);
    else if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error getting file info of %s", path);
    else
        rpc_reply(r, &json);
}

static void reply_nothing(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(16);
    buf_add_cstr(&json, "{}");
    rpc_reply(r, &json);
}

static void stat_path(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    char path[PATHS_MAX];

    if (rpc_user(r, &files, &who) == 0 && filesystem_path(r, "path", &who, path) == 0)
        reply_entry(r, path, &files);
}

static void make_dir(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    char path[PATHS_MAX];
    struct stat st;

    warm_dirty(r->app->warm); /* it may change what an interpreter finds at its start */
    if (rpc_user(r, &files, &who) < 0 || filesystem_path(r, "path", &who, path) < 0)
        return;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            (void)rpc_fail(r, CONNECT_ALREADY_EXISTS, "directory already exists: %s", path);
        else
            (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT,
                           "path already exists but it is not a directory: %s", path);
        return;
    }
    int rc = paths_make_dirs(path, who.uid, who.gid);
    if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error creating directory %s", path);
    else
        reply_entry(r, path, &files);
}

static void move(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    char source[PATHS_MAX], destination[PATHS_MAX], parent[PATHS_MAX];
    struct stat st;

    warm_dirty(r->app->warm); /* it may change what an interpreter finds at its start */
    if (rpc_user(r, &files, &who) < 0 || filesystem_path(r, "source", &who, source) < 0 ||
        filesystem_path(r, "destination", &who, destination) < 0)
        return;
    if (lstat(source, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            (void)rpc_fail(r, CONNECT_NOT_FOUND, "source file not found: %s", source);
        else
            (void)rpc_fail_errno(r, errno, "error moving %s", source);
        return;
    }
    paths_parent(destination, parent);
    int rc = paths_make_dirs(parent, who.uid, who.gid);
    if (rc == 0 && rename(source, destination) < 0)
        rc = -errno;
    if (rc == -ENOENT)
        (void)rpc_fail(r, CONNECT_NOT_FOUND, "source file not found: %s", source);
    else if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error moving %s to %s", source, destination);
    else
        reply_entry(r, destination, &files);
}

struct listing {
    struct users *files;
    struct buf json;
};

static int list_one(const char *path, void *arg)
{
    struct listing *l = arg;
    size_t before = l->json.n;

    if (before > 0 && l->json.p[before - 1] == '}')
        buf_add_char(&l->json, ',');
    if (entry_write(path, l->files, &l->json) < 0) /* it went while we listed */
        l->json.n = before;
    return buf_ok(&l->json) ? 0 : -E2BIG;
}

static void list_dir(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    char path[PATHS_MAX];
    int64_t depth = 0;
    struct err e;

    if (rpc_user(r, &files, &who) < 0 || filesystem_path(r, "path", &who, path) < 0)
        return;
    if (json_get_i64(r->req, "depth", 0, UINT32_MAX, &depth, &e) < 0) {
        (void)rpc_fail_field(r, &e);
        return;
    }
    struct listing l = { &files, BUF_INIT(LIST_MAX) };
    buf_add_cstr(&l.json, "{\"entries\":[");
    int rc = tree_walk(path, depth == 0 ? 1 : (unsigned)depth, TREE_ENTRIES_MAX, list_one, &l);
    buf_add_cstr(&l.json, "]}");
    if (rc == -ENOENT)
        (void)rpc_fail(r, CONNECT_NOT_FOUND, "path not found: %s", path);
    else if (rc == -ENOTDIR)
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "path is not a directory: %s", path);
    else if (rc == -ELOOP)
        (void)rpc_fail(r, CONNECT_FAILED_PRECONDITION,
                       "cyclic symlink or chain >255 links at %s", path);
    else if (rc == -E2BIG)
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED,
                       "more than %u entries or %u levels below %s", TREE_ENTRIES_MAX,
                       TREE_DEPTH_MAX, path);
    else if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error reading directory %s", path);
    else
        rpc_reply(r, &l.json);
    buf_fini(&l.json);
}

static void remove_path(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    char path[PATHS_MAX];

    warm_dirty(r->app->warm); /* it may change what an interpreter finds at its start */
    if (rpc_user(r, &files, &who) < 0 || filesystem_path(r, "path", &who, path) < 0)
        return;
    int rc = tree_remove(path);
    if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error removing %s", path);
    else
        reply_nothing(r);
}

static const struct rpc_method METHODS[] = {
    { "/filesystem.Filesystem/Stat", false, stat_path },
    { "/filesystem.Filesystem/MakeDir", false, make_dir },
    { "/filesystem.Filesystem/Move", false, move },
    { "/filesystem.Filesystem/ListDir", false, list_dir },
    { "/filesystem.Filesystem/Remove", false, remove_path },
    { "/filesystem.Filesystem/WatchDir", true, watch_rpc_stream },
    { "/filesystem.Filesystem/CreateWatcher", false, watch_rpc_create },
    { "/filesystem.Filesystem/GetWatcherEvents", false, watch_rpc_events },
    { "/filesystem.Filesystem/RemoveWatcher", false, watch_rpc_remove },
};

const struct rpc_method *filesystem_rpc_find(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(METHODS); i++)
        if (str_eq(path, str_from(METHODS[i].path)))
            return &METHODS[i];
    return NULL;
}
