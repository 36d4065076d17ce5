/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/rand.h"
#include "base/str.h"

/* A directory of ours. Somebody else's, or one that others may write to, is refused: what is in it decides what root does. */
static int own_dir(const char *path, uid_t owner, mode_t mode, struct err *e)
{
    struct stat st;
    bool made = mkdir(path, mode) == 0;

    if (!made && errno != EEXIST)
        return err_set(e, errno, "make '%s'", path);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open '%s'", path);
    if (made && (fchown(fd, owner, owner) < 0 ||
                 fchmod(fd, mode) < 0)) /* mkdir's mode has lost the umask */
        return err_set(e, errno, "set owner and mode of '%s'", path);
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "look at '%s'", path);
    if (st.st_uid != owner || (st.st_mode & (mode_t)~mode & 0777))
        return err_say(e, EPERM,
                       "'%s' must belong to uid %u with mode %04o, but belongs to %u with %04o",
                       path, owner, mode, st.st_uid, st.st_mode & 07777);
    return 0;
}

/* The API is not root: it must be able to walk to what is its own. */
static int reachable(const char *path, uid_t uid, struct err *e)
{
    if (seteuid(uid) < 0)
        return err_set(e, errno, "become uid %u for a moment", uid);
    int rc = faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
    if (seteuid(0) < 0)
        abort(); /* cannot happen: the saved uid is 0 */
    return rc == 0 ? 0
                   : err_set(e, -rc,
                             "uid %u, which the API runs as, cannot reach '%s': each directory "
                             "of the path must let others through (chmod o+x)",
                             uid, path);
}

int state_dir_prepare(const struct place *p, uid_t api_uid, struct err *e)
{
    char path[PLACE_PATH_MAX + 32];
    int rc = own_dir(p->state, 0, 0755, e);

    (void)snprintf(path, sizeof path, "%s/templates", p->state);
    if (rc == 0)
        rc = own_dir(path, 0, 0755, e);
    (void)snprintf(path, sizeof path, "%s/db", p->state);
    if (rc == 0)
        rc = own_dir(path, api_uid, 0700, e);
    if (rc == 0)
        rc = own_dir(p->run, 0, 0755, e);
    if (rc == 0)
        rc = reachable(path, api_uid, e);
    if (rc == 0)
        rc = reachable(p->run, api_uid, e);
    return rc;
}

static int write_all(int fd, const char *text)
{
    size_t n = strlen(text), done = 0;

    while (done < n) {
        ssize_t got = write(fd, text + done, n - done);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}

/* A new file with this text, in place at once or not at all. */
static int write_file(const char *path, mode_t mode, const char *text, struct err *e)
{
    char temp[PLACE_PATH_MAX + 64];

    (void)snprintf(temp, sizeof temp, "%s.new", path);
    (void)unlink(temp); /* left over from a crash */
    AUTO_CLOSE int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(e, errno, "make '%s'", temp);
    int rc = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    if (rc < 0) {
        (void)unlink(temp);
        return err_set(e, -rc, "write '%s'", path);
    }
    return 0;
}

static bool is_key(struct str s)
{
    if (!str_starts(s, STR("e2b_")) || s.n < 4 + 32)
        return false;
    for (size_t i = 4; i < s.n; i++)
        if (!strchr("0123456789abcdef", s.p[i])) /* a str of a C string holds no NUL */
            return false;
    return true;
}

static int read_key(int fd, const char *path, char key[API_KEY_TEXT_MAX], struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "look at '%s'", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077))
        return err_say(e, EPERM, "'%s' must be a file of root's with mode 0600", path);
    ssize_t n = read(fd, key, API_KEY_TEXT_MAX - 1);
    if (n < 0)
        return err_set(e, errno, "read '%s'", path);
    key[n] = '\0';
    key[strcspn(key, "\r\n")] = '\0';
    if (!is_key(str_from(key))) {
        explicit_bzero(key, API_KEY_TEXT_MAX);
        return err_say(e, EINVAL, "'%s' must hold e2b_ and at least 32 hexadecimal digits",
                       path);
    }
    return 0;
}

int state_dir_api_key(const struct place *p, char key[API_KEY_TEXT_MAX], struct err *e)
{
    char path[PLACE_PATH_MAX + 32], line[API_KEY_TEXT_MAX + 2], digits[41];

    (void)snprintf(path, sizeof path, "%s/api.key", p->state);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return read_key(fd, path, key, e);
    if (errno != ENOENT)
        return err_set(e, errno, "open '%s'", path);
    rand_hex(digits, 20);
    (void)snprintf(line, sizeof line, "e2b_%s\n", digits);
    int rc = write_file(path, 0600, line, e);
    if (rc == 0)
        (void)snprintf(key, API_KEY_TEXT_MAX, "e2b_%s", digits);
    explicit_bzero(line, sizeof line);
    explicit_bzero(digits, sizeof digits);
    return rc;
}

int state_dir_lock(const struct place *p, struct err *e)
{
    char path[PLACE_PATH_MAX + 32], text[32];
    struct stat held, named;

    (void)snprintf(path, sizeof path, "%s/up.pid", p->run);
    for (;;) {
        AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_set(e, errno, "open '%s'", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            ssize_t n = read(fd, text, sizeof text - 1);
            text[n > 0 ? n : 0] = '\0';
            text[strspn(text, "0123456789")] = '\0';
            return err_say(e, EBUSY, "instance '%s' is already up%s%s%s", p->instance,
                           *text ? " (process " : "", text, *text ? ")" : "");
        }
        /* Its last holder may have removed the file between our open and our lock. */
        if (fstat(fd, &held) < 0 || stat(path, &named) < 0 || held.st_ino != named.st_ino ||
            held.st_dev != named.st_dev)
            continue;
        (void)snprintf(text, sizeof text, "%d\n", getpid());
        if (ftruncate(fd, 0) < 0 || write_all(fd, text) < 0)
            return err_set(e, errno, "write '%s'", path);
        return fd_steal(&fd);
    }
}

int state_dir_write_url(const struct place *p, const char *url, struct err *e)
{
    char path[PLACE_PATH_MAX + 32], line[512];

    (void)snprintf(path, sizeof path, "%s/api.url", p->run);
    (void)snprintf(line, sizeof line, "%s\n", url);
    return write_file(path, 0644, line, e);
}

void state_dir_remove_url(const struct place *p)
{
    char path[PLACE_PATH_MAX + 32];

    (void)snprintf(path, sizeof path, "%s/api.url", p->run);
    (void)unlink(path); /* never written, if it did not get that far */
}

bool state_dir_has_records(const struct place *p)
{
    char path[PLACE_PATH_MAX + 32];
    bool found = false;

    (void)snprintf(path, sizeof path, "%s/sb", p->run);
    DIR *d = opendir(path);
    for (const struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
        found |= str_ends(str_from(f->d_name), STR(".rec"));
    if (d)
        (void)closedir(d);
    return found;
}

void state_dir_clean_run(const struct place *p)
{
    static const char *const files[] = { "api.url",        "warden.sock", "netd.sock",
                                         "recorder.sock",  "tlsd.sock",   "tlsd.seed",
                                         "sb/warden.lock", "up.pid" };
    static const char *const dirs[] = { "sb", "mnt", "" };
    char path[PLACE_PATH_MAX + 32];

    /* What is not there, and directories that are not empty, are left as they are: a later start deals with them. */
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", p->run, files[i]);
        (void)unlink(path);
    }
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", p->run, dirs[i]);
        (void)rmdir(path);
    }
}

void state_dir_forget_empty(const struct place *p)
{
    static const char *const dirs[] = { "templates", "db", "" };
    char path[PLACE_PATH_MAX + 32];

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", p->state, dirs[i]);
        (void)rmdir(path); /* one that holds something stays */
    }
}
