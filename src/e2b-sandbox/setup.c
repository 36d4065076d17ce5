/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"

#define FILES_WANTED         65536u
#define FILES_NEEDED         1024u
#define BACKLOG              1024
#define PREDECESSOR_LIMIT_NS (10 * NS_PER_S)
#define LOCK_NAP_US          20000

int setup_limits(struct err *e)
{
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return err_set(e, errno, "read the limit of open files");
    struct rlimit want = { FILES_WANTED, FILES_WANTED };
    if (now.rlim_max > want.rlim_max)
        want.rlim_max = now.rlim_max;
    if (now.rlim_cur >= FILES_WANTED || setrlimit(RLIMIT_NOFILE, &want) == 0)
        return 0;
    want = (struct rlimit){ now.rlim_max, now.rlim_max }; /* not root: as far as it goes */
    if (setrlimit(RLIMIT_NOFILE, &want) < 0 || want.rlim_cur < FILES_NEEDED)
        return err_say(e, EMFILE,
                       "only %llu open files are allowed: raise it to %u (ulimit -n)",
                       (unsigned long long)now.rlim_max, FILES_WANTED);
    return 0;
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t make_address(const struct config *c, union address *a)
{
    *a = (union address){ 0 };
    if (inet_pton(AF_INET, c->address, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(c->port);
        return sizeof a->v4;
    }
    (void)inet_pton(AF_INET6, c->address,
                    &a->v6.sin6_addr); /* config has checked that it is one of the two */
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(c->port);
    return sizeof a->v6;
}

static int open_listener(const struct config *c, struct err *e)
{
    union address a;
    socklen_t n = make_address(c, &a);
    AUTO_CLOSE int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, &a.any, n) < 0 || listen(fd, BACKLOG) < 0)
        return err_set(e, errno, "listen on %s port %u", c->address, c->port);
    return fd_steal(&fd);
}

/* One that we were given: listening, and ours alone from now on. */
static int take_listener(int fd, struct err *e)
{
    int listening = 0;
    socklen_t n = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return err_say(e, EINVAL, "--listen-fd %d is not a listening socket", fd);
    return fd;
}

int setup_listener(const struct config *c, int *listen_fd, uint16_t *port, struct err *e)
{
    union address a = { 0 };
    socklen_t n = sizeof a;
    AUTO_CLOSE int fd =
        c->listen_fd >= 0 ? take_listener(c->listen_fd, e) : open_listener(c, e);

    if (fd < 0)
        return fd;
    if (getsockname(fd, &a.any, &n) < 0)
        return err_set(e, errno, "look at the listening socket");
    *port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    *listen_fd = fd_steal(&fd);
    return 0;
}

int setup_db_dir(const struct config *c, struct err *e)
{
    char path[512];

    if (snprintf(path, sizeof path, "%s/db", c->state_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--state is too long");
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST ? 0 : err_set(e, errno, "make '%s'", path);
    if (geteuid() == 0 && lchown(path, c->uid, c->uid) < 0)
        return err_set(e, errno, "give '%s' to uid %u", path, c->uid);
    return 0;
}

int setup_lock(const struct config *c, int *lock_fd, struct err *e)
{
    char path[512];

    (void)snprintf(
        path, sizeof path, "%s/db/lock",
        c->state_dir); /* shorter than what setup_db_dir found short enough, but for 2 bytes */
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "open '%s'", path);
    /* One that is just ending still answers what it has begun. */
    uint64_t until_ns = clock_mono_ns() + PREDECESSOR_LIMIT_NS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || clock_mono_ns() >= until_ns)
            return err_say(e, EBUSY,
                           "another instance keeps its sandboxes in '%s': give each instance a "
                           "--state of its own",
                           c->state_dir);
        (void)usleep(LOCK_NAP_US);
    }
    *lock_fd = fd_steal(&fd);
    return 0;
}

static int read_line(int fd, char key[SETUP_KEY_MAX], struct err *e)
{
    size_t n = 0;

    (void)lseek(
        fd, 0,
        SEEK_SET); /* a file that an earlier process of ours has read; a pipe has no place */
    while (n < SETUP_KEY_MAX - 1) {
        ssize_t got = read(fd, key + n, SETUP_KEY_MAX - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, errno, "read the API key from descriptor %d", fd);
        if (got == 0 || memchr(key + n, '\n', (size_t)got)) {
            n += (size_t)got;
            break;
        }
        n += (size_t)got;
    }
    key[n] = 0;
    key[strcspn(key, "\r\n")] = 0;
    return 0;
}

int setup_read_key(int fd, char key[SETUP_KEY_MAX], struct err *e)
{
    int rc = read_line(fd, key, e);

    (void)close(fd);
    if (rc < 0)
        return rc;
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~')
            n = 0;
    return n >= 8 ? 0
                  : err_say(e, EINVAL,
                            "the line from --bootstrap-key-fd must have 8 to 256 printable "
                            "characters");
}
