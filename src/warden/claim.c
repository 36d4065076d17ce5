/* SPDX-License-Identifier: Apache-2.0 */
/* claim: no two instances of this machine may give the same host uids to their sandboxes. Each warden that runs holds a lock on a
 * file FIRST-LAST-INSTANCE in one directory of the machine; sandboxes that outlive their warden hold their uids by living. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/task.h"
#include "warden/warden.h"

#define CLAIMS_DIR "/run/firebreak-uids"

struct range {
    uint64_t first, last;
};

static struct range own_range(const struct options *o)
{
    uint64_t n = (uint64_t)o->max_sandboxes * UIDS_PER_SANDBOX;
    return (struct range){ o->uid_base, o->uid_base + n - 1 };
}

static bool overlap(struct range a, struct range b)
{
    return a.first <= b.last && b.first <= a.last;
}

/* False for a name that no warden wrote. */
static bool read_name(const char *name, struct range *r, struct str *instance)
{
    struct str first, last, rest;

    return str_cut(str_from(name), '-', &first, &rest) && str_cut(rest, '-', &last, instance) &&
           num_parse_u64(first, 0, UINT32_MAX, &r->first) == 0 &&
           num_parse_u64(last, r->first, UINT32_MAX, &r->last) == 0;
}

/* Is its warden alive? A file that nobody holds is a leftover, and goes. */
static bool is_held(int dir, const char *name)
{
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return true;
    (void)unlinkat(dir, name,
                   0); /* safe: the directory's lock keeps others from taking it now */
    return false;
}

static int check_others(int dir, const struct options *o, struct err *e)
{
    int fd = openat(dir, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct range mine = own_range(o), theirs;
    struct str instance;

    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return err_set(e, errno, "read '" CLAIMS_DIR "'");
    }
    for (struct dirent *ent = readdir(d); ent && e->code == 0; ent = readdir(d))
        if (read_name(ent->d_name, &theirs, &instance) && is_held(dir, ent->d_name) &&
            overlap(mine, theirs))
            (void)err_say(e, EADDRINUSE,
                          "instance '%.*s' uses the host uids %llu to %llu, and this one would "
                          "use %llu to "
                          "%llu: give another --uid-base",
                          (int)instance.n, instance.p, (unsigned long long)theirs.first,
                          (unsigned long long)theirs.last, (unsigned long long)mine.first,
                          (unsigned long long)mine.last);
    (void)closedir(d);
    return -e->code;
}

static void claim_name(const struct options *o, char out[80])
{
    struct range mine = own_range(o);
    (void)snprintf(out, 80, "%llu-%llu-%.32s", (unsigned long long)mine.first,
                   (unsigned long long)mine.last, o->instance);
}

/* Locked against other wardens that start or stop. */
static int open_claims(struct err *e)
{
    struct stat st;

    if (mkdir(CLAIMS_DIR, 0700) < 0 && errno != EEXIST)
        return err_set(e, errno, "make '" CLAIMS_DIR "'");
    AUTO_CLOSE int dir = open(CLAIMS_DIR, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0 || flock(dir, LOCK_EX) < 0)
        return err_set(e, errno, "open '" CLAIMS_DIR "'");
    if (st.st_uid != 0 || (st.st_mode & 022))
        return err_say(e, EPERM,
                       "'" CLAIMS_DIR "' must belong to root and be writable by root only");
    return fd_steal(&dir);
}

int claim_uids(struct app *a, struct err *e)
{
    char name[80];
    AUTO_CLOSE int dir = open_claims(e);

    if (dir < 0 || check_others(dir, &a->opt, e) < 0)
        return -e->code;
    claim_name(&a->opt, name);
    a->claim_fd = openat(dir, name, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (a->claim_fd < 0 || flock(a->claim_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(e, errno, "claim host uids in '" CLAIMS_DIR "'");
    return 0;
}

void claim_drop(struct app *a)
{
    struct err ignored = { 0 };
    char name[80];
    AUTO_CLOSE int dir = open_claims(&ignored); /* without it the file stays, held by nobody */

    claim_name(&a->opt, name);
    if (dir >= 0)
        (void)unlinkat(dir, name, 0);
    (void)close(a->claim_fd);
}

static bool is_ours(const struct app *a, uid_t uid)
{
    uint32_t slot = (uid - a->opt.uid_base) / UIDS_PER_SANDBOX;
    return a->slot[slot].state != SLOT_FREE;
}

/* A zombie that nobody has collected yet keeps its uid, and does nothing with it any more. */
static bool is_alive(pid_t pid)
{
    AUTO_CLOSE int pidfd = task_open_pidfd(pid);
    struct pollfd p = { pidfd, POLLIN, 0 };

    return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

int claim_check_processes(const struct app *a, struct err *e)
{
    struct range mine = own_range(&a->opt);
    struct stat st;
    uint64_t pid;
    DIR *d = opendir("/proc");

    for (struct dirent *ent = d ? readdir(d) : NULL; ent && e->code == 0; ent = readdir(d)) {
        if (num_parse_u64(str_from(ent->d_name), 1, INT32_MAX, &pid) < 0 ||
            fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* not a process, or gone */
        if (st.st_uid >= mine.first && st.st_uid <= mine.last && !is_ours(a, st.st_uid) &&
            is_alive((pid_t)pid))
            (void)err_say(e, EADDRINUSE,
                          "process %llu runs as host uid %u, inside the sandboxes' range %llu "
                          "to %llu, and is "
                          "none of this instance's: end it, or give another --uid-base",
                          (unsigned long long)pid, st.st_uid, (unsigned long long)mine.first,
                          (unsigned long long)mine.last);
    }
    if (d)
        (void)closedir(d);
    return -e->code;
}
