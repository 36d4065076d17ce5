/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"
#include "base/clock.h"
#include "envd/terminal.h"

#define CHUNK_COST 64u /* what a queued chunk costs beside its bytes */
#define DRAIN_MAX                                                                              \
    1048576u /* read from a pipe that others hold open after the process is gone */
#define READY_MS      5000 /* a waiting child that has not answered by then is not waited for */
#define INPUT_POLL_MS 200  /* how often a blocked writer looks whether its client is there */
#define REAP_AT_ONCE  256u

struct stream {             /* our end of one pipe, or of the terminal */
    struct loop_source src; /* first: the loop gives it back */
    struct proc *owner;
    enum proc_stream kind;
    bool open, watched;
};

struct proc {
    struct proc_table *table;
    struct proc *next, *prev; /* in table->all, newest first */
    unsigned refs;
    pid_t pid;
    enum proc_kind kind;
    char *tag;
    json_t *config;
    struct stream stream[2];
    int in_fd; /* write end of stdin, or -1 */
    pthread_mutex_t
        input_lock; /* one writer at a time; taken before table->lock is, never after */
    struct proc_sub *subs;
    unsigned n_subs;
    struct proc_chunk *tail;
    uint64_t deadline_ns, ended_ns;
    int wait_status;
    bool running; /* executed, listed */
    bool reaped;
    bool forced; /* ends when reaped, whoever holds its pipes */
    bool timed_out;
    bool ended;
    bool paused; /* a subscriber's queue is full */
};

struct proc_sub {
    struct proc *p;
    struct proc_sub *next;
    int fd;
    struct proc_chunk *cursor; /* the next to take, NULL if it has them all */
    size_t bytes;              /* queued, with CHUNK_COST each */
};

struct proc_table {
    struct loop_source signals; /* first; SIGCHLD */
    pthread_mutex_t lock;       /* guards every field of every struct in this file */
    struct loop *loop;
    struct proc *all;
    unsigned n_running, n_hidden, n_ended;
    pid_t aside; /* a child that waits, or 0 */
};

static void lock(struct proc_table *t)
{
    (void)pthread_mutex_lock(&t->lock);
}

static void unlock(struct proc_table *t)
{
    (void)pthread_mutex_unlock(&t->lock);
}

static struct proc_table *table_of(struct loop_source *s)
{
    return (struct proc_table *)(void *)s; /* signals is its first member */
}

static struct stream *stream_of(struct loop_source *s)
{
    return (struct stream *)(void *)s; /* src is its first member */
}

/* --- chunks and subscribers --- */

static void poke(const struct proc_sub *s)
{
    uint64_t one = 1;
    (void)!write(s->fd, &one, sizeof one); /* full means that it is readable already */
}

static void poke_all(const struct proc *p)
{
    for (const struct proc_sub *s = p->subs; s; s = s->next)
        poke(s);
}

static void release_chunk(struct proc *p, struct proc_chunk *c)
{
    if (--c->refs > 0)
        return;
    if (p->tail == c)
        p->tail = NULL;
    free(c);
}

/* Gives the bytes to every subscriber. False when out of memory: nothing was queued. */
static bool publish(struct proc *p, enum proc_stream kind, const void *bytes, size_t n)
{
    if (p->n_subs == 0)
        return true;
    struct proc_chunk *c = malloc(sizeof *c + n);
    if (!c)
        return false;
    *c = (struct proc_chunk){ .refs = p->n_subs, .stream = kind, .n = n };
    memcpy(c->bytes, bytes, n);
    if (p->tail)
        p->tail->next = c;
    p->tail = c;
    for (struct proc_sub *s = p->subs; s; s = s->next) {
        if (!s->cursor) {
            s->cursor = c;
            poke(s);
        }
        s->bytes += n + CHUNK_COST;
    }
    return true;
}

/* --- streams; the loop's thread, or nobody else can see the process --- */

static void unwatch(struct stream *s)
{
    if (s->watched)
        loop_del(s->owner->table->loop, &s->src);
    s->watched = false;
}

static void close_stream(struct stream *s)
{
    if (!s->open)
        return;
    unwatch(s);
    (void)close(s->src.fd);
    s->src.fd = -1;
    s->open = false;
}

/* True if it is watched now. Nothing else than a lack of kernel memory can prevent it. */
static bool watch(struct stream *s)
{
    if (s->open && !s->watched)
        s->watched = loop_add(s->owner->table->loop, &s->src) == 0;
    return !s->open || s->watched;
}

static void pause_or_go_on(struct proc *p)
{
    bool full = false;

    for (const struct proc_sub *s = p->subs; s; s = s->next)
        full = full || s->bytes >= (p->paused ? PROC_QUEUE_MAX / 2 : PROC_QUEUE_MAX);
    if (full == p->paused)
        return;
    p->paused = full;
    for (size_t i = 0; i < ARRAY_LEN(p->stream); i++) {
        if (full)
            unwatch(&p->stream[i]);
        else if (!watch(&p->stream[i]))
            p->paused = true; /* tried again when the next chunk is taken */
    }
}

enum got { GOT_SOME, GOT_NONE, GOT_END };

static enum got read_stream(struct stream *s, size_t *n_read)
{
    unsigned char bytes[PROC_PIPE_CHUNK];
    static const struct timespec pause = { .tv_nsec = 10000000 };
    size_t max = s->kind == PROC_TTY ? PROC_TTY_CHUNK : PROC_PIPE_CHUNK;

    ssize_t n = read(s->src.fd, bytes, max);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return GOT_NONE;
    if (n <= 0) /* the end; EIO says it for a terminal */
        return GOT_END;
    while (!publish(s->owner, s->kind, bytes, (size_t)n))
        (void)nanosleep(&pause, NULL); /* output is never lost to a short lack of memory */
    *n_read += (size_t)n;
    return GOT_SOME;
}

static void put(struct proc *p);

static void finish(struct proc *p)
{
    struct proc_table *t = p->table;

    for (size_t i = 0; i < ARRAY_LEN(p->stream); i++)
        close_stream(&p->stream[i]);
    if (p->in_fd >= 0)
        (void)close(p->in_fd);
    p->in_fd = -1;
    json_decref(p->config);
    p->config = NULL;
    p->ended = true;
    p->ended_ns = clock_mono_ns();
    if (p->kind == PROC_HIDDEN)
        t->n_hidden--;
    else
        t->n_running--;
    t->n_ended++;
    poke_all(p);
}

/* Reads what is there without waiting for others who hold the same pipe, then closes it. */
static void drain(struct stream *s)
{
    size_t n = 0;

    while (s->open && n < DRAIN_MAX && read_stream(s, &n) == GOT_SOME)
        ;
    close_stream(s);
}

static void finish_if_over(struct proc *p)
{
    if (p->ended || !p->reaped || !p->running)
        return;
    if (p->forced ||
        p->kind == PROC_TERMINAL) /* a terminal whose session leader is gone is dead */
        for (size_t i = 0; i < ARRAY_LEN(p->stream); i++)
            drain(&p->stream[i]);
    if (!p->stream[0].open && !p->stream[1].open)
        finish(p);
}

static void stream_ready(struct loop_source *src, uint32_t events)
{
    struct stream *s = stream_of(src);
    struct proc_table *t = s->owner->table;
    size_t n = 0;

    (void)events; /* read tells all */
    lock(t);
    if (s->open && s->watched) {
        if (read_stream(s, &n) == GOT_END)
            close_stream(s);
        else
            pause_or_go_on(s->owner);
        finish_if_over(s->owner);
    }
    unlock(t);
}

/* --- the table --- */

static void put(struct proc *p)
{
    if (--p->refs > 0)
        return;
    ASSERT(!p->subs && !p->stream[0].open && !p->stream[1].open);
    json_decref(p->config);
    free(p->tag);
    (void)pthread_mutex_destroy(&p->input_lock);
    free(p);
}

static void link_proc(struct proc_table *t, struct proc *p)
{
    p->next = t->all;
    if (t->all)
        t->all->prev = p;
    t->all = p;
}

static void unlink_proc(struct proc_table *t, struct proc *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else
        t->all = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->next = p->prev = NULL;
    put(p);
}

/* A pid may be in the table twice: as a kept end, and as the running process that got the number next. */
static struct proc *find(struct proc_table *t, const struct proc_selector *sel, bool also_ended)
{
    for (struct proc *p = t->all; p; p = p->next) {
        if (!p->running || p->kind == PROC_HIDDEN || (p->ended && !also_ended))
            continue;
        if (sel->tag ? p->tag && strcmp(p->tag, sel->tag) == 0 : p->pid == sel->pid)
            return p;
    }
    return NULL;
}

static struct proc *find_child(struct proc_table *t, pid_t pid)
{
    for (struct proc *p = t->all; p; p = p->next)
        if (p->pid == pid && !p->reaped)
            return p;
    return NULL;
}

/* Every child is reaped here, and only here, under the lock: so a pid that is not marked as reaped is still that process, and
 * signals go to nobody else. As PID 1 we also get the orphans of the sandbox, which are in no table. */
static void child_ended(struct loop_source *src, uint32_t events)
{
    struct proc_table *t = table_of(src);
    struct signalfd_siginfo info;
    int status;

    (void)events;
    lock(t);
    (void)!read(src->fd, &info, sizeof info); /* several deaths may have been one signal */
    for (unsigned i = 0;; i++) {
        if (i == REAP_AT_ONCE) {
            (void)raise(SIGCHLD); /* more may wait: come back after others had their turn */
            break;
        }
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            break;
        struct proc *p = find_child(t, pid);
        if (pid == t->aside)
            t->aside = 0;
        if (!p)
            continue;
        p->reaped = true;
        p->wait_status = status;
        finish_if_over(p);
    }
    unlock(t);
}

int proc_table_new(struct proc_table **out, struct loop *loop)
{
    struct proc_table *t = calloc(1, sizeof *t);
    sigset_t chld;
    int rc;

    if (!t)
        return -ENOMEM;
    t->loop = loop;
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    t->signals = (struct loop_source){ .fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK),
                                       .ready = child_ended };
    rc = t->signals.fd < 0 ? -errno : loop_add(loop, &t->signals);
    if (rc < 0) {
        proc_table_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void proc_table_free(struct proc_table *t)
{
    if (!t)
        return;
    while (t->all) {
        struct proc *p = t->all;
        if (!p->ended && p->running)
            finish(p);
        unlink_proc(t, p);
    }
    if (t->signals.fd >= 0) {
        loop_del(t->loop, &t->signals);
        (void)close(t->signals.fd);
    }
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

static void forget_oldest_end(struct proc_table *t)
{
    struct proc *oldest = NULL;

    for (struct proc *p = t->all; p; p = p->next)
        if (p->ended && (!oldest || p->ended_ns <= oldest->ended_ns))
            oldest = p;
    ASSERT(oldest);
    t->n_ended--;
    unlink_proc(t, oldest);
}

static void expire(struct proc *p)
{
    p->timed_out = true;
    p->forced = true;
    p->deadline_ns = 0;
    if (!p->reaped)
        (void)kill(-p->pid, SIGKILL); /* what it started and did not detach goes with it */
    poke_all(p);
}

uint64_t proc_tick(struct proc_table *t, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    struct proc *after;

    lock(t);
    for (struct proc *p = t->all; p; p = after) {
        after = p->next;
        if (p->running && !p->ended && p->deadline_ns && now_ns >= p->deadline_ns)
            expire(p);
        if (p->paused && !p->ended)
            pause_or_go_on(p);
        finish_if_over(p);
        uint64_t at = UINT64_MAX;
        if (p->ended && now_ns - p->ended_ns >= PROC_KEEP_NS && now_ns > p->ended_ns) {
            t->n_ended--;
            unlink_proc(t, p);
            continue;
        }
        if (p->ended)
            at = p->ended_ns + PROC_KEEP_NS;
        else if (p->running && p->deadline_ns)
            at = p->deadline_ns;
        next_ns = at < next_ns ? at : next_ns;
    }
    while (t->n_ended > PROC_ENDED_MAX)
        forget_oldest_end(t);
    unlock(t);
    return next_ns;
}

/* --- start --- */

static int make_pipe(int *ours, int *theirs, bool we_read)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    *ours = fd[we_read ? 0 : 1];
    *theirs = fd[we_read ? 1 : 0];
    /* Only our end: the two are different open files. */
    return fcntl(*ours, F_SETFL, (we_read ? O_RDONLY : O_WRONLY) | O_NONBLOCK) < 0 ? -errno : 0;
}

static void adopt_stream(struct proc *p, size_t i, int fd, enum proc_stream kind)
{
    p->stream[i] = (struct stream){
        .src = { .fd = fd, .ready = stream_ready }, .owner = p, .kind = kind, .open = true
    };
}

static int open_pipes(struct proc *p, const struct proc_spec *spec, int theirs[3])
{
    int out = -1, err = -1, rc;

    if (spec->no_stdin) {
        theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (theirs[0] < 0)
            return -errno;
    } else if ((rc = make_pipe(&p->in_fd, &theirs[0], false)) < 0) {
        return rc;
    }
    rc = make_pipe(&out, &theirs[1], true);
    if (out >= 0)
        adopt_stream(p, 0, out, PROC_STDOUT);
    if (rc == 0)
        rc = make_pipe(&err, &theirs[2], true);
    if (err >= 0)
        adopt_stream(p, 1, err, PROC_STDERR);
    return rc;
}

static int open_terminal(struct proc *p, const struct proc_spec *spec, int theirs[3])
{
    int master;
    uid_t owner = spec->run.user ? spec->run.user->uid : (uid_t)-1;
    int rc = terminal_open(spec->cols, spec->rows, owner, &master, &theirs[0]);

    if (rc < 0)
        return rc;
    adopt_stream(p, 0, master, PROC_TTY);
    theirs[1] = fcntl(theirs[0], F_DUPFD_CLOEXEC, 3);
    theirs[2] = fcntl(theirs[0], F_DUPFD_CLOEXEC, 3);
    return theirs[1] < 0 || theirs[2] < 0 ? -errno : 0;
}

static int new_sub(struct proc *p, struct proc_sub **out)
{
    struct proc_sub *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0) {
        int rc = -errno;
        free(s);
        return rc;
    }
    s->p = p;
    s->next = p->subs;
    p->subs = s;
    p->n_subs++;
    p->refs++;
    *out = s;
    return 0;
}

static int new_proc(struct proc_table *t, const struct proc_spec *spec, struct proc **out)
{
    struct proc *p = calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    *p = (struct proc){
        .table = t, .refs = 1, .kind = spec->kind, .in_fd = -1, .deadline_ns = spec->deadline_ns
    };
    (void)pthread_mutex_init(&p->input_lock, NULL);
    if (spec->tag && !(p->tag = strdup(spec->tag))) {
        put(p);
        return -ENOMEM;
    }
    *out = p;
    return 0;
}

static bool has_room(const struct proc_table *t, enum proc_kind kind)
{
    return kind == PROC_HIDDEN ? t->n_hidden < PROC_HIDDEN_MAX : t->n_running < PROC_MAX;
}

/* Forks and enters the child into the table before anybody can reap it. */
static int fork_into(struct proc_table *t, struct proc *p, const struct spawn *run,
                     int *status_fd)
{
    lock(t);
    int rc = has_room(t, p->kind) ? spawn_fork(run, status_fd) : -EAGAIN;
    if (rc > 0) {
        p->pid = rc;
        p->refs++;
        link_proc(t, p);
        if (p->kind == PROC_HIDDEN)
            t->n_hidden++;
        else
            t->n_running++;
    }
    unlock(t);
    return rc < 0 ? rc : 0;
}

/* The program runs: from here on the loop serves it. */
static void set_running(struct proc_table *t, struct proc *p, json_t *config)
{
    lock(t);
    p->config = json_incref(config);
    p->running = true;
    for (size_t i = 0; i < ARRAY_LEN(p->stream); i++)
        if (!watch(&p->stream[i]))
            p->paused = true; /* taken up when its subscriber looks */
    bool tick = p->deadline_ns || p->reaped;
    unlock(t);
    if (tick) /* there is a deadline to keep, or nothing else will tell that it is over */
        loop_wake(t->loop);
}

pid_t proc_fork_aside(struct proc_table *t, const struct spawn *run)
{
    int status_fd = -1;

    lock(t);
    pid_t pid = spawn_fork(run, &status_fd);
    if (pid > 0)
        t->aside = pid;
    unlock(t);
    if (pid > 0)
        (void)close(status_fd); /* whether it runs shows when it is used */
    return pid;
}

void proc_end_aside(struct proc_table *t, pid_t pid)
{
    lock(t);
    if (t->aside == pid) {
        (void)kill(-pid, SIGKILL); /* its group, once it has one of its own */
        (void)kill(pid, SIGKILL);
        t->aside = 0; /* reaped as a stranger */
    }
    unlock(t);
}

/* The child ended without having run the program; p is as new. */
static void never_ran(struct proc_table *t, struct proc *p)
{
    lock(t);
    if (p->kind == PROC_HIDDEN)
        t->n_hidden--;
    else
        t->n_running--;
    p->pid = 0;
    p->reaped = false;
    unlink_proc(t, p); /* it is reaped as a stranger */
    unlock(t);
}

/* Enters the waiting child into the table, before it can end as this process. */
static bool link_ready(struct proc_table *t, struct proc *p, pid_t pid)
{
    lock(t);
    bool go = t->aside == pid && has_room(t, p->kind);
    if (go) {
        t->aside = 0;
        p->pid = pid;
        p->refs++;
        link_proc(t, p);
        t->n_running++;
    }
    unlock(t);
    return go;
}

/* The child says '+' when all that can fail has succeeded, and begins after our 'g': so it either runs the program whole, or we
 * start it afresh and nothing of it has happened. */
static bool hand_over(const struct proc_ready *r)
{
    struct pollfd p = { r->ctl_fd, POLLIN, 0 };
    char answer;

    return send(r->ctl_fd, r->request.p, r->request.n, MSG_NOSIGNAL) == (ssize_t)r->request.n &&
           poll(&p, 1, READY_MS) == 1 && recv(r->ctl_fd, &answer, 1, 0) == 1 && answer == '+' &&
           send(r->ctl_fd, "g", 1, MSG_NOSIGNAL) == 1;
}

static bool run_ready(struct proc_table *t, struct proc *p, const struct proc_spec *spec)
{
    struct proc_ready *r = spec->ready;

    bool linked = link_ready(t, p, r->pid);
    bool ok = linked && hand_over(r);
    if (ok) {
        adopt_stream(p, 0, r->out_fd, PROC_STDOUT);
        adopt_stream(p, 1, r->err_fd, PROC_STDERR);
        set_running(t, p, spec->config);
    } else {
        if (linked)
            (void)kill(
                r->pid,
                SIGKILL); /* it is in the table and not reaped: nobody else has that pid */
        else
            proc_end_aside(t, r->pid);
        if (linked)
            never_ran(t, p); /* the program is started afresh */
        (void)close(r->out_fd);
        (void)close(r->err_fd);
    }
    (void)close(r->ctl_fd);
    buf_fini(&r->request);
    return ok;
}

static int run(struct proc_table *t, struct proc *p, const struct proc_spec *spec,
               int theirs[3], enum spawn_step *step, struct err *e)
{
    struct spawn child = spec->run;
    int status_fd = -1, rc;

    if (spec->kind != PROC_HIDDEN) {
        child.terminal = spec->kind == PROC_TERMINAL;
        rc = child.terminal ? open_terminal(p, spec, theirs) : open_pipes(p, spec, theirs);
        if (rc < 0)
            return err_set(e, -rc, child.terminal ? "open a terminal" : "make a pipe");
        memcpy(child.fd, theirs, sizeof child.fd);
    }
    rc = fork_into(t, p, &child, &status_fd);
    if (rc == -EAGAIN)
        return err_say(e, EAGAIN, "too many processes");
    if (rc < 0)
        return err_set(e, -rc, "fork");
    for (int i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            (void)close(theirs[i]), theirs[i] = -1;
    rc = spawn_wait_exec(status_fd, step);
    if (rc < 0) {
        never_ran(t, p);
        return err_set(e, -rc, "start '%s'", spec->run.file);
    }
    set_running(t, p, spec->config);
    return 0;
}

int proc_start(struct proc_table *t, const struct proc_spec *spec, struct proc_sub **out,
               enum spawn_step *step, struct err *e)
{
    struct proc *p;
    struct proc_sub *sub = NULL;
    int theirs[3] = { -1, -1, -1 };

    *step = (enum spawn_step)0;
    int rc = new_proc(t, spec, &p);
    if (rc == 0 && (rc = new_sub(p, &sub)) < 0)
        put(p);
    if (rc < 0)
        return err_set(e, -rc, "start a process");
    rc = spec->ready && run_ready(t, p, spec) ? 0 : run(t, p, spec, theirs, step, e);
    for (int i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            (void)close(theirs[i]);
    if (rc < 0) { /* nobody else has seen it */
        for (size_t i = 0; i < ARRAY_LEN(p->stream); i++)
            close_stream(&p->stream[i]);
        if (p->in_fd >= 0)
            (void)close(p->in_fd);
        proc_sub_close(sub);
    } else {
        *out = sub;
    }
    lock(t);
    put(p);
    unlock(t);
    return rc;
}

/* --- subscribers --- */

int proc_subscribe(struct proc_table *t, const struct proc_selector *sel, struct proc_sub **out)
{
    lock(t);
    struct proc *p = find(t, sel, true);
    int rc = p ? new_sub(p, out) : -ENOENT;
    if (rc == 0 && p->ended)
        poke(*out);
    unlock(t);
    return rc;
}

void proc_sub_close(struct proc_sub *s)
{
    if (!s)
        return;
    struct proc *p = s->p;
    struct proc_table *t = p->table;

    lock(t);
    for (struct proc_sub **at = &p->subs; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    p->n_subs--;
    while (s->cursor) {
        struct proc_chunk *c = s->cursor;
        s->cursor = c->next;
        release_chunk(p, c);
    }
    pause_or_go_on(p);
    put(p);
    unlock(t);
    (void)close(s->fd);
    free(s);
}

pid_t proc_sub_pid(const struct proc_sub *s)
{
    return s->p->pid; /* never changes once there are subscribers */
}

int proc_sub_fd(const struct proc_sub *s)
{
    return s->fd;
}

void proc_sub_look(struct proc_sub *s, struct proc_news *out)
{
    struct proc *p = s->p;
    uint64_t count;

    lock(p->table);
    (void)!read(s->fd, &count, sizeof count); /* EAGAIN: nobody poked */
    *out = (struct proc_news){ .first = s->cursor,
                               .timed_out = p->timed_out,
                               .ended = p->ended,
                               .wait_status = p->wait_status };
    for (const struct proc_chunk *c = s->cursor; c; c = c->next)
        out->n_chunks++;
    if (p->paused)
        pause_or_go_on(p);
    unlock(p->table);
}

void proc_sub_took(struct proc_sub *s, size_t n_chunks)
{
    struct proc *p = s->p;

    lock(p->table);
    for (size_t i = 0; i < n_chunks; i++) {
        struct proc_chunk *c = s->cursor;
        ASSERT(c);
        s->cursor = c->next;
        s->bytes -= c->n + CHUNK_COST;
        release_chunk(p, c);
    }
    if (p->paused)
        pause_or_go_on(p);
    unlock(p->table);
}

static int kill_group(struct proc *p, int signal)
{
    return !p->reaped && kill(-p->pid, signal) < 0 ? -errno : 0;
}

int proc_sub_kill(struct proc_sub *s, int signal)
{
    lock(s->p->table);
    int rc = kill_group(s->p, signal);
    unlock(s->p->table);
    return rc;
}

/* --- what clients do to running processes --- */

int proc_signal(struct proc_table *t, const struct proc_selector *sel, int signal)
{
    lock(t);
    struct proc *p = find(t, sel, false);
    int rc = p ? 0 : -ENOENT;
    if (p) {
        p->forced = true; /* and if only others who hold its pipes are left, this is its end */
        if (!p->reaped && kill(p->pid, signal) < 0)
            rc = -errno;
    }
    unlock(t);
    loop_wake(t->loop);
    return rc;
}

int proc_resize(struct proc_table *t, const struct proc_selector *sel, uint16_t cols,
                uint16_t rows)
{
    struct winsize size = { .ws_col = cols, .ws_row = rows };
    int rc = 0;

    lock(t);
    struct proc *p = find(t, sel, false);
    if (!p)
        rc = -ENOENT;
    else if (p->kind != PROC_TERMINAL || !p->stream[0].open)
        rc = -ENOTTY;
    else if (ioctl(p->stream[0].src.fd, TIOCSWINSZ, &size) < 0)
        rc = -errno;
    unlock(t);
    return rc;
}

int proc_close_stdin(struct proc_table *t, const struct proc_selector *sel)
{
    int rc = 0;

    lock(t);
    struct proc *p = find(t, sel, false);
    if (!p)
        rc = -ENOENT;
    else if (p->kind == PROC_TERMINAL)
        rc = -ENOTTY;
    else if (p->in_fd >= 0)
        (void)close(fd_steal(&p->in_fd));
    unlock(t);
    return rc;
}

/* A descriptor of our own for the input side, so that nobody can close it while we write. */
static int input_fd(struct proc *p, bool tty, int *out)
{
    int fd = tty ? p->stream[0].src.fd : p->in_fd;

    if (tty != (p->kind == PROC_TERMINAL))
        return -ENOTTY;
    if (fd < 0 || (tty && !p->stream[0].open))
        return -EPIPE;
    *out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *out < 0 ? -errno : 0;
}

static bool still_open(struct proc *p, bool tty)
{
    lock(p->table);
    bool open = tty ? p->stream[0].open : p->in_fd >= 0;
    unlock(p->table);
    return open;
}

static int write_all(struct proc *p, bool tty, int fd, struct str data, bool (*gone)(void *arg),
                     void *arg)
{
    while (data.n > 0) {
        ssize_t n = write(fd, data.p, data.n);
        if (n > 0) {
            data = str_sub(data, (size_t)n, data.n);
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return errno == EIO ? -EPIPE : -errno;
        struct pollfd wait = { .fd = fd, .events = POLLOUT };
        (void)poll(&wait, 1, INPUT_POLL_MS);
        if (!still_open(p, tty))
            return -EPIPE;
        if (gone(arg))
            return -ECANCELED;
    }
    return 0;
}

int proc_input(struct proc_table *t, const struct proc_selector *sel, bool tty, struct str data,
               bool (*gone)(void *arg), void *arg)
{
    AUTO_CLOSE int fd = -1;

    lock(t);
    struct proc *p = find(t, sel, false);
    if (p)
        p->refs++;
    unlock(t);
    if (!p)
        return -ENOENT;
    (void)pthread_mutex_lock(&p->input_lock);
    lock(t);
    int rc = input_fd(p, tty, &fd);
    unlock(t);
    if (rc == 0)
        rc = write_all(p, tty, fd, data, gone, arg);
    (void)pthread_mutex_unlock(&p->input_lock);
    lock(t);
    put(p);
    unlock(t);
    return rc;
}

json_t *proc_list(struct proc_table *t)
{
    json_t *list = json_array();

    lock(t);
    for (struct proc *p = t->all; p && list; p = p->next) {
        if (!p->running || p->ended || p->kind == PROC_HIDDEN)
            continue;
        json_t *one = json_pack("{s:O,s:i}", "config", p->config, "pid", (int)p->pid);
        if (one && p->tag && json_object_set_new(one, "tag", json_string(p->tag)) < 0) {
            json_decref(one);
            one = NULL;
        }
        if (json_array_insert_new(list, 0, one) < 0) {
            json_decref(list);
            list = NULL;
        }
    }
    unlock(t);
    return list;
}

unsigned proc_count(struct proc_table *t)
{
    lock(t);
    unsigned n = t->n_running + t->n_hidden;
    unlock(t);
    return n;
}
