/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "firebreak/invariants.h"

#define CHILD_LIMIT_MS 10000

/* One row on the pipe. */
struct row_message {
    char id[SIGHT_ID_LEN + 1];
    char state; /* 'r' or 's' */
};

static int write_rows(sqlite3 *db, int out)
{
    static const char sql[] = "SELECT id, state FROM sandboxes WHERE state <> 'ended'";
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        return 1;
    int rc = sqlite3_step(st);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
        struct row_message m = { 0 };
        const unsigned char *id = sqlite3_column_text(st, 0);
        const unsigned char *state = sqlite3_column_text(st, 1);
        (void)snprintf(m.id, sizeof m.id, "%s", id ? (const char *)id : "");
        m.state = state && state[0] == 'r' ? 'r' : 's';
        if (write(out, &m, sizeof m) != (ssize_t)sizeof m)
            break;
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : 1;
}

/* As the file's owner: what SQLite makes beside it stays its owner's, and a database that was made to hurt its reader hurts
 * nobody who is root. */
static _Noreturn void child(const char *path, const struct stat *owner, int out)
{
    char uri[PLACE_PATH_MAX + 64], wal[PLACE_PATH_MAX + 64];
    sqlite3 *db = NULL;
    struct stat st;

    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(owner->st_gid, owner->st_gid, owner->st_gid) < 0 ||
         setresuid(owner->st_uid, owner->st_uid, owner->st_uid) < 0))
        _exit(1);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    /* Without a log nobody has it open: then it is read as it lies there, and nothing is made beside it. */
    bool is_open = stat(wal, &st) == 0;
    (void)snprintf(uri, sizeof uri, "file:%s?mode=ro%s", path, is_open ? "" : "&immutable=1");
    if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
        _exit(1);
    (void)sqlite3_busy_timeout(db, 2000);
    _exit(write_rows(db, out));
}

static int read_rows(struct sight *s, int fd)
{
    struct row_message m;

    for (;;) {
        struct pollfd p = { fd, POLLIN, 0 };
        if (poll(&p, 1, CHILD_LIMIT_MS) != 1)
            return -ETIMEDOUT;
        ssize_t n = read(fd, &m, sizeof m); /* written whole: less than PIPE_BUF */
        if (n == 0)
            return 0;
        if (n != (ssize_t)sizeof m)
            return -EIO;
        struct sight_row *r = SIGHT_ADD(s->row);
        if (!r)
            return -ENOMEM;
        memcpy(r->id, m.id, sizeof r->id);
        r->state = m.state == 'r' ? ROW_RUNNING : ROW_STARTING;
    }
}

int sight_registry(struct sight *s, const struct place *p, struct err *e)
{
    char path[PLACE_PATH_MAX + 32];
    struct stat owner;
    int ends[2], status;

    (void)snprintf(path, sizeof path, "%s/db/firebreak.db", p->state);
    if (strpbrk(path, "?#%"))
        return err_say(e, EINVAL, "'%s' cannot be named to SQLite", path);
    if (lstat(path, &owner) < 0)
        return err_set(e, errno, "look at '%s'", path);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    AUTO_CLOSE int in = ends[0];
    AUTO_CLOSE int out = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_set(e, errno, "start a reader of the registry");
    if (pid == 0)
        child(path, &owner, out);
    (void)close(fd_steal(&out));
    int rc = read_rows(s, in);
    if (rc < 0)
        (void)kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || rc < 0 || status != 0)
        return err_say(e, EIO, "'%s' could not be read", path);
    s->registry_read = true;
    return 0;
}
