/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/recorder_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "ipc/ipc.h"

#define BACKOFF_MIN_NS (10 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S
#define TURN_MS        1000 /* what was refused is sent again, and numbers are asked for, so often */
#define STOP_LIMIT_NS  NS_PER_S
#define BOOT_DIGITS    16u

struct entry {
    struct entry *next;
    struct recorder_msg m;
    bool waits;      /* somebody waits for it, and takes it out of the queue */
    bool is_sent;    /* on this connection */
    bool is_refused; /* to be sent again in the next turn */
    bool done;
    int result; /* if it waits: valid once done */
};

struct recorder {
    struct sockaddr_un address;
    pthread_t thread;
    int wake_fd;
    char boot[BOOT_DIGITS + 1]; /* names of records are of this process */

    pthread_mutex_t lock;   /* around everything below */
    pthread_cond_t changed; /* something is durable, or was refused */
    int fd;                 /* -1 while not connected; closed by the thread only */
    bool stop, is_ready;
    uint64_t next_id;
    struct entry *first, **last; /* in order */
    uint64_t n;
    uint64_t dropped, dropped_unsaid;
    uint64_t records, backlog, lost;
};

static struct timespec at_mono(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
                              .tv_nsec = (long)(ns % NS_PER_S) };
}

static void wake(const struct recorder *r)
{
    const uint64_t one = 1;
    (void)!write(r->wake_fd, &one, sizeof one); /* full is awake, too */
}

/* --- the queue; with the lock --- */

static void unlink_entry(struct recorder *r, struct entry *x)
{
    struct entry **at = &r->first;

    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    if (r->last == &x->next)
        r->last = at;
    r->n--;
}

static bool has_unsent(const struct recorder *r)
{
    for (const struct entry *x = r->first; x; x = x->next)
        if (!x->is_sent && !x->done)
            return true;
    return false;
}

/* As many as the socket takes, in order. */
static void send_queue(struct recorder *r)
{
    for (struct entry *x = r->first; x && r->fd >= 0; x = x->next) {
        if (x->is_sent || x->done)
            continue;
        if (send(r->fd, &x->m, sizeof x->m, MSG_DONTWAIT | MSG_NOSIGNAL) !=
            (ssize_t)sizeof x->m)
            return; /* the thread looks when there is room, or that the connection is gone */
        x->is_sent = true;
        x->m.flags |= RECORDER_AGAIN; /* from now on it may be there */
    }
}

static struct entry *put(struct recorder *r, const struct audit_fields *f, bool waits)
{
    uint64_t room =
        audit_event_is_security(f->event) ? RECORDER_QUEUE_MAX : RECORDER_QUEUE_MAX / 2;
    struct entry *x = r->n < room ? malloc(sizeof *x) : NULL;

    if (!x) {
        r->dropped++;
        r->dropped_unsaid++;
        return NULL;
    }
    *x = (struct entry){ .m = { .type = RECORDER_APPEND,
                                .version = RECORDER_VERSION,
                                .request_id = ++r->next_id,
                                .fields = *f },
                         .waits = waits };
    (void)snprintf(x->m.fields.request_id, sizeof x->m.fields.request_id, "%s-%llu", r->boot,
                   (unsigned long long)x->m.request_id);
    bool was_behind = has_unsent(r);
    *r->last = x;
    r->last = &x->next;
    r->n++;
    if (!was_behind)
        send_queue(r);
    if (!x->is_sent)
        wake(r);
    return x;
}

static void say_dropped(struct recorder *r)
{
    struct audit_fields f = { .real_ns = clock_real_ns(),
                              .duration_ms = AUDIT_NO_DURATION,
                              .success = AUDIT_NO_SUCCESS,
                              .event = AUDIT_RECORD_DROPPED,
                              .severity = SEVERITY_HIGH };
    uint64_t n = r->dropped_unsaid;

    if (n == 0 || r->n >= RECORDER_QUEUE_MAX / 2)
        return;
    (void)snprintf(f.reason, sizeof f.reason, "%llu records, the queue was full",
                   (unsigned long long)n);
    if (put(r, &f, false))
        r->dropped_unsaid -= n;
}

bool recorder_note(struct recorder *r, const struct audit_fields *f)
{
    (void)pthread_mutex_lock(&r->lock);
    bool ok = put(r, f, false) != NULL;
    (void)pthread_mutex_unlock(&r->lock);
    return ok;
}

int recorder_append(struct recorder *r, const struct audit_fields *f, uint64_t timeout_ns)
{
    struct timespec until = at_mono(clock_mono_ns() + timeout_ns);
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    struct entry *x = put(r, f, true);
    while (x && !x->done && rc == 0)
        rc = -pthread_cond_timedwait(&r->changed, &r->lock, &until);
    if (!x) {
        rc = -ENOBUFS;
    } else if (x->done) {
        rc = x->result;
        unlink_entry(r, x);
        free(x);
    } else {
        x->waits = false; /* it goes on without us */
    }
    (void)pthread_mutex_unlock(&r->lock);
    return rc;
}

static bool is_past(const struct recorder *r, uint64_t id)
{
    return !r->first || r->first->m.request_id > id;
}

bool recorder_flush(struct recorder *r, uint64_t timeout_ns)
{
    struct timespec until = at_mono(clock_mono_ns() + timeout_ns);
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    uint64_t id = r->next_id;
    while (!is_past(r, id) && rc == 0)
        rc = -pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool ok = is_past(r, id);
    (void)pthread_mutex_unlock(&r->lock);
    return ok;
}

static bool is_ready(const struct recorder *r)
{
    return r->fd >= 0 && r->is_ready && r->n < RECORDER_QUEUE_MAX / 2;
}

bool recorder_wait_ready(struct recorder *r, uint64_t timeout_ns)
{
    struct timespec until = at_mono(clock_mono_ns() + timeout_ns);
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    while (!is_ready(r) && rc == 0)
        rc = -pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool ready = is_ready(r);
    (void)pthread_mutex_unlock(&r->lock);
    return ready;
}

bool recorder_ready(struct recorder *r)
{
    return recorder_wait_ready(r, 0);
}

void recorder_look(struct recorder *r, struct recorder_numbers *out)
{
    (void)pthread_mutex_lock(&r->lock);
    *out = (struct recorder_numbers){ .connected = r->fd >= 0,
                                      .ready = r->fd >= 0 && r->is_ready,
                                      .queued = r->n,
                                      .dropped = r->dropped,
                                      .records = r->records,
                                      .backlog = r->backlog,
                                      .lost = r->lost };
    (void)pthread_mutex_unlock(&r->lock);
}

/* --- the thread --- */

/* One that somebody waits for is refused; the others are tried again in the next turn. */
static void settle(struct recorder *r, struct entry *x, int status)
{
    if (x->waits) {
        x->done = true;
        x->result = status;
    } else if (status == 0 || status == -EINVAL) { /* never written, however often it is sent */
        unlink_entry(r, x);
        free(x);
    } else {
        x->is_refused = true;
    }
    (void)pthread_cond_broadcast(&r->changed);
}

static void take(struct recorder *r, const struct recorder_msg *m)
{
    struct entry *x;

    (void)pthread_mutex_lock(&r->lock);
    if (r->is_ready != (m->ready != 0))
        (void)pthread_cond_broadcast(&r->changed);
    r->is_ready = m->ready != 0;
    if (m->type == RECORDER_HELLO) {
        r->records = m->records;
        r->backlog = m->backlog;
        r->lost = m->lost;
    } else if (m->type == RECORDER_APPEND) {
        for (x = r->first; x && x->m.request_id != m->request_id; x = x->next)
            ;
        if (x && !x->done)
            settle(r, x, m->status);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void say_hello(int fd)
{
    const struct recorder_msg m = { .type = RECORDER_HELLO, .version = RECORDER_VERSION };
    (void)send(fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL); /* if not, then the next time */
}

/* Each second: what the recorder could not write is sent once more. */
static void next_turn(struct recorder *r)
{
    (void)pthread_mutex_lock(&r->lock);
    say_dropped(r);
    say_hello(r->fd);
    for (struct entry *x = r->first; x; x = x->next) {
        x->is_sent = x->is_sent && !x->is_refused;
        x->is_refused = false;
    }
    send_queue(r);
    (void)pthread_mutex_unlock(&r->lock);
}

static short wanted(struct recorder *r)
{
    (void)pthread_mutex_lock(&r->lock);
    short events = has_unsent(r) ? POLLIN | POLLOUT : POLLIN;
    (void)pthread_mutex_unlock(&r->lock);
    return events;
}

/* All answers that are there. Less than 0: the connection is of no use any more. */
static int read_answers(struct recorder *r, int fd)
{
    struct recorder_msg m;
    int rc;

    while ((rc = ipc_recv(fd, &m, sizeof m, NULL, 0, NULL)) == 0) {
        if (m.version != RECORDER_VERSION)
            return -EPROTO;
        take(r, &m);
    }
    return rc == -EAGAIN ? 0 : rc;
}

static bool is_stopping(struct recorder *r)
{
    (void)pthread_mutex_lock(&r->lock);
    bool stop = r->stop;
    (void)pthread_mutex_unlock(&r->lock);
    return stop;
}

static void serve(struct recorder *r, int fd)
{
    struct pollfd p[2] = { { .fd = fd }, { .fd = r->wake_fd, .events = POLLIN } };
    uint64_t turn_ns = 0, woken;

    while (!is_stopping(r)) {
        uint64_t now_ns = clock_mono_ns();
        if (now_ns >= turn_ns) {
            next_turn(r);
            turn_ns = now_ns + TURN_MS * NS_PER_MS;
        }
        p[0].events = wanted(r);
        if (poll(p, 2, (int)((turn_ns - now_ns) / NS_PER_MS) + 1) < 0)
            continue;
        if (p[1].revents)
            (void)!read(r->wake_fd, &woken, sizeof woken);
        if (read_answers(r, fd) < 0)
            return;
        (void)pthread_mutex_lock(&r->lock);
        send_queue(r);
        (void)pthread_mutex_unlock(&r->lock);
    }
}

static int connect_once(const struct recorder *r)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&r->address, sizeof r->address) < 0)
        return -errno;
    return fd_steal(&fd);
}

static void withdraw(struct recorder *r)
{
    (void)pthread_mutex_lock(&r->lock);
    int fd = r->fd;
    r->fd = -1;
    r->is_ready = false;
    for (struct entry *x = r->first; x; x = x->next)
        x->is_sent = false;
    (void)pthread_mutex_unlock(&r->lock);
    (void)close(fd);
}

static bool pause_for(struct recorder *r, uint64_t ns)
{
    struct timespec until = at_mono(clock_mono_ns() + ns);
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop && rc == 0)
        rc = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool go = !r->stop;
    (void)pthread_mutex_unlock(&r->lock);
    return go;
}

static void *recorder_main(void *arg)
{
    struct recorder *r = arg;
    uint64_t wait_ns = BACKOFF_MIN_NS;
    int last_error = 0;

    do {
        int fd = connect_once(r);
        if (fd >= 0) {
            (void)pthread_mutex_lock(&r->lock);
            r->fd = fd;
            (void)pthread_mutex_unlock(&r->lock);
            log_info("recorder_connected", "path=%s", r->address.sun_path);
            serve(r, fd);
            withdraw(r);
            if (is_stopping(r))
                break;
            log_warn("recorder_lost", "path=%s", r->address.sun_path);
            wait_ns = BACKOFF_MIN_NS;
            last_error = 0;
        } else {
            if (fd != last_error) /* once per reason, not per try */
                log_warn("recorder_unreachable", "path=%s err=\"%s\"", r->address.sun_path,
                         strerrordesc_np(-fd));
            last_error = fd;
            wait_ns = wait_ns * 2 < BACKOFF_MAX_NS ? wait_ns * 2 : BACKOFF_MAX_NS;
        }
    } while (pause_for(r, wait_ns));
    return NULL;
}

int recorder_start(struct recorder **out, const char *path, struct err *e)
{
    pthread_condattr_t monotonic;
    AUTO_FREE struct recorder *r = calloc(1, sizeof *r);

    if (!r)
        return err_set(e, ENOMEM, "start the recorder's client");
    r->fd = -1;
    r->last = &r->first;
    r->address.sun_family = AF_UNIX;
    rand_hex(r->boot, BOOT_DIGITS / 2);
    if (str_copy(str_from(path), r->address.sun_path, sizeof r->address.sun_path) < 0)
        return err_say(e, ENAMETOOLONG,
                       "'%s' is too long for a socket's name: choose a shorter --run", path);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->wake_fd < 0)
        return err_set(e, errno, "start the recorder's client");
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&r->thread, NULL, recorder_main, r);
    if (rc != 0) {
        (void)close(r->wake_fd);
        return err_set(e, rc, "start the recorder's client");
    }
    *out = ptr_steal(&r);
    return 0;
}

void recorder_stop(struct recorder *r)
{
    if (!r)
        return;
    if (!recorder_flush(r, STOP_LIMIT_NS))
        log_error("record_incomplete", "records=%llu", (unsigned long long)r->n);
    (void)pthread_mutex_lock(&r->lock);
    r->stop = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    wake(r);
    (void)pthread_join(r->thread, NULL);
    while (r->first) {
        struct entry *x = r->first;
        r->first = x->next;
        free(x);
    }
    (void)close(r->wake_fd);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}
