/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "envd/process_rpc.h"

#define PROGRAM   "python3"
#define LIFTED_FD 10 /* above every number that the child gives out */

/* Waits for a program on descriptor 3 and runs it. One frame only is below the program's first. */
static const char launch[] = "exec(__import__('posix').read(3,65536))\n"
                             "with _:exec(globals().pop('_').code)";
static const char launcher[] = {
#include "envd/warm_launcher.inc"
};

struct warm {
    struct proc_table *procs;
    struct loop *loop;
    pthread_mutex_t lock; /* around everything below */
    bool armed;
    struct user user;
    char **envp; /* owned */
    char file[USER_PATH_MAX];
    uint64_t begun_ns; /* 0: not somebody's yet; else when it was, or when one was used last */
    uint64_t not_before_ns;
    pid_t pid; /* 0: there is none */
    int ctl_fd, out_fd, err_fd;
};

/* --- pure parts --- */

bool warm_takes_args(char *const *argv)
{
    if (!argv[0] || !argv[1])
        return false;
    if (strcmp(argv[1], "-c") == 0)
        return argv[2] != NULL;
    return argv[1][0] != '-' && argv[1][0] != '\0';
}

static bool counts_at_start(const char *entry)
{
    static const char *const exact[] = { "HOME",
                                         "PATH",
                                         "LANG",
                                         "LANGUAGE",
                                         "TZ",
                                         "TZDIR",
                                         "LOCPATH",
                                         "NLSPATH",
                                         "GCONV_PATH",
                                         "GLIBC_TUNABLES",
                                         "POSIXLY_CORRECT",
                                         "MALLOC_PERTURB_",
                                         "__PYVENV_LAUNCHER__" };
    static const char *const begins[] = { "PYTHON", "LC_", "LD_", "MALLOC_", "OPENSSL_" };
    size_t n = strcspn(entry, "=");

    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        if (strlen(exact[i]) == n && strncmp(entry, exact[i], n) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (strncmp(entry, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

static bool has_all(char *const *of, char *const *in)
{
    for (; *of; of++) {
        char *const *at = in;
        if (!counts_at_start(*of))
            continue;
        while (*at && strcmp(*at, *of) != 0)
            at++;
        if (!*at)
            return false;
    }
    return true;
}

bool warm_same_start(char *const *a, char *const *b)
{
    return has_all(a, b) && has_all(b, a);
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return n > 1 && strncmp(path, dir, n) == 0 && path[n] == '/';
}

bool warm_path_counts(const char *path, const char *home)
{
    if (is_below(path, "/tmp"))
        return false;
    /* Below the home, what an interpreter looks for at its start is in directories with a dot. */
    return !is_below(path, home) || strstr(path + strlen(home), "/.") != NULL;
}

/* --- the interpreter; the lock is held --- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void end(struct warm *w)
{
    if (w->pid > 0)
        proc_end_aside(w->procs, w->pid);
    w->pid = 0;
    close_fd(&w->ctl_fd);
    close_fd(&w->out_fd);
    close_fd(&w->err_fd);
}

/* Is there no process but us? Whatever else runs may change at any time what an interpreter would find at its start. */
static bool is_alone(void)
{
    DIR *d = getpid() == 1 ? opendir("/proc") : NULL;
    unsigned n = 0;

    if (!d)
        return false;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
    (void)closedir(d);
    return n == 1;
}

static int make_pipe(int *ours, int *theirs)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    *ours = fd[0];
    *theirs = fd[1];
    return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int start_with(struct warm *w, struct spawn *s)
{
    AUTO_CLOSE int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int out = -1;
    AUTO_CLOSE int err = -1;
    int ctl[2];

    if (in < 0 || make_pipe(&w->out_fd, &out) < 0 || make_pipe(&w->err_fd, &err) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0)
        return -errno;
    w->ctl_fd = ctl[0];
    AUTO_CLOSE int near = ctl[1];
    AUTO_CLOSE int theirs = fcntl(near, F_DUPFD_CLOEXEC, LIFTED_FD);
    if (theirs < 0 ||
        send(w->ctl_fd, launcher, sizeof launcher, MSG_NOSIGNAL) != (ssize_t)sizeof launcher)
        return -EIO;
    s->fd[0] = in;
    s->fd[1] = out;
    s->fd[2] = err;
    s->ctl_fd = theirs;
    pid_t pid = proc_fork_aside(w->procs, s);
    if (pid < 0)
        return pid;
    w->pid = pid;
    return 0;
}

static void start(struct warm *w)
{
    static char name[] = PROGRAM, option[] = "-c";
    char text[sizeof launch];
    char *argv[] = { name, option, text, NULL };
    struct spawn s = { .file = w->file,
                       .argv = argv,
                       .envp = w->envp,
                       .cwd_fd = -1,
                       .user = geteuid() == 0 ? &w->user : NULL };
    const char *path = NULL;

    memcpy(text, launch, sizeof text);
    for (char **e = w->envp; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    if (!path || spawn_find_program(PROGRAM, path, w->file) < 0 || start_with(w, &s) < 0)
        end(w);
}

/* --- for others --- */

int warm_new(struct warm **out, struct proc_table *procs, struct loop *loop)
{
    struct warm *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    w->procs = procs;
    w->loop = loop;
    w->ctl_fd = w->out_fd = w->err_fd = -1;
    (void)pthread_mutex_init(&w->lock, NULL);
    *out = w;
    return 0;
}

void warm_arm(struct warm *w, const struct user *user, char **envp)
{
    (void)pthread_mutex_lock(&w->lock);
    end(w);
    process_free_strings(w->envp);
    w->envp = envp;
    w->user = *user;
    w->armed = true;
    (void)pthread_mutex_unlock(&w->lock);
}

void warm_begin(struct warm *w)
{
    (void)pthread_mutex_lock(&w->lock);
    if (w->begun_ns == 0)
        w->begun_ns = clock_mono_ns();
    (void)pthread_mutex_unlock(&w->lock);
}

void warm_dirty(struct warm *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool had = w->pid > 0;
    end(w);
    w->not_before_ns = clock_mono_ns() + WARM_REST_NS;
    (void)pthread_mutex_unlock(&w->lock);
    if (had)
        loop_wake(w->loop); /* so that it looks for the time of the next one */
}

void warm_dirty_path(struct warm *w, const char *path)
{
    (void)pthread_mutex_lock(&w->lock);
    bool counts = w->armed && warm_path_counts(path, w->user.home);
    (void)pthread_mutex_unlock(&w->lock);
    if (counts)
        warm_dirty(w);
}

uint64_t warm_tick(struct warm *w, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    bool busy = proc_count(w->procs) > 0;

    (void)pthread_mutex_lock(&w->lock);
    if (w->armed && w->begun_ns && now_ns >= w->begun_ns + WARM_IDLE_NS) {
        end(w);
        w->armed = false;
        process_free_strings(w->envp);
        w->envp = NULL;
    }
    if (w->armed && busy) {
        w->not_before_ns = now_ns + WARM_REST_NS;
    } else if (w->armed && w->pid == 0 && now_ns >= w->not_before_ns) {
        w->not_before_ns = now_ns + WARM_REST_NS;
        if (is_alone())
            start(w);
    }
    if (w->armed)
        next_ns = w->pid == 0   ? now_ns + WARM_LOOK_NS
                  : w->begun_ns ? w->begun_ns + WARM_IDLE_NS
                                : UINT64_MAX;
    (void)pthread_mutex_unlock(&w->lock);
    return next_ns;
}

static bool is_same_user(const struct user *a, const struct user *b)
{
    return a && b && a->uid == b->uid && a->gid == b->gid && a->n_groups == b->n_groups &&
           memcmp(a->group, b->group, a->n_groups * sizeof a->group[0]) == 0;
}

/* CWD, the number of arguments, they, the variables; each with a NUL. */
static bool write_request(const struct spawn *run, struct buf *out)
{
    size_t n = 0;

    while (run->argv[n])
        n++;
    buf_add_cstr(out, run->cwd);
    buf_add_char(out, '\0');
    buf_addf(out, "%zu", n);
    buf_add_char(out, '\0');
    for (size_t i = 0; i < n; i++) {
        buf_add_cstr(out, run->argv[i]);
        buf_add_char(out, '\0');
    }
    for (char *const *e = run->envp; *e; e++) {
        buf_add_cstr(out, *e);
        buf_add_char(out, '\0');
    }
    return buf_ok(out);
}

bool warm_take(struct warm *w, const struct spawn *run, struct proc_ready *out)
{
    struct buf request = BUF_INIT(WARM_REQUEST_MAX);
    bool took = false;

    (void)pthread_mutex_lock(&w->lock);
    if (w->pid > 0 && run->cwd && is_same_user(run->user, &w->user) &&
        strcmp(run->file, w->file) == 0 && warm_takes_args(run->argv) &&
        warm_same_start(run->envp, w->envp) && write_request(run, &request)) {
        *out = (struct proc_ready){ .pid = w->pid,
                                    .ctl_fd = w->ctl_fd,
                                    .out_fd = w->out_fd,
                                    .err_fd = w->err_fd,
                                    .request = request };
        w->pid = 0;
        w->ctl_fd = w->out_fd = w->err_fd = -1;
        w->begun_ns = w->begun_ns ? clock_mono_ns() : 0;
        took = true;
    }
    w->not_before_ns = clock_mono_ns() + WARM_REST_NS;
    (void)pthread_mutex_unlock(&w->lock);
    if (took)
        loop_wake(w->loop);
    else
        buf_fini(&request);
    return took;
}
