/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "recorder/recorder.h"

#define BACKLOG         16
#define PATIENCE_MS     1000 /* for a client that does not read its answers */
#define MESSAGES_A_TURN 256u

/* --- clients --- */

static void drop(struct recorder *r, struct client *c, const char *why)
{
    log_info("client_gone", "peer=%d why=%s", (int)c->peer, why);
    (void)close(c->fd); /* which takes it out of epoll */
    c->fd = -1;
    for (unsigned i = 0; i < r->n_waiting; i++)
        if (r->waiting[i].client == c)
            r->waiting[i].client = NULL;
}

static struct client *add(struct recorder *r, int fd, enum peer peer)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &r->client[i];
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
        if (c->fd >= 0)
            continue;
        if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
            return NULL;
        *c = (struct client){ fd, peer };
        return c;
    }
    return NULL;
}

static enum peer who(const struct recorder *r, int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return PEER_NONE;
    return peer.uid == 0                    ? PEER_ROOT
           : peer.uid == r->opt.api_uid     ? PEER_API
           : peer.uid == r->opt.shipper_uid ? PEER_SHIPPER
                                            : PEER_NONE;
}

void serve_accept(struct recorder *r)
{
    AUTO_CLOSE int fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    enum peer peer = fd < 0 ? PEER_NONE : who(r, fd);

    if (fd < 0)
        return;
    if (peer == PEER_NONE || !add(r, fd, peer)) {
        log_warn("client_refused", "peer=%d", (int)peer);
        return;
    }
    (void)fd_steal(&fd);
    log_info("client_connected", "peer=%d", (int)peer);
}

int serve_open(struct recorder *r, struct err *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int n = snprintf(at.sun_path, sizeof at.sun_path, "%s/recorder.sock", r->opt.run_dir);

    if (n < 0 || (size_t)n >= sizeof at.sun_path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket");
    if (unlink(at.sun_path) < 0 && errno != ENOENT)
        return err_set(e, errno, "remove the old '%s'", at.sun_path);
    /* Who may say what is decided by the peer's uid, when it connects. */
    mode_t old = umask(0111);
    int rc = bind(fd, (const struct sockaddr *)&at, sizeof at);
    (void)umask(old);
    if (rc < 0 || listen(fd, BACKLOG) < 0)
        return err_set(e, errno, "listen on '%s'", at.sun_path);
    if (r->opt.peer_fd >= 0 && !add(r, r->opt.peer_fd, PEER_NETD))
        return err_set(e, errno, "use descriptor %d", r->opt.peer_fd);
    r->listen_fd = fd_steal(&fd);
    return 0;
}

/* --- messages --- */

/* A client that was taken over: what may it say? Its own kind of events only, so that it cannot speak for another. */
static bool may_say(enum peer peer, const struct audit_fields *f)
{
    if (f->event >= AUDIT_EVENTS || f->job >= AUDIT_JOBS)
        return false;
    switch (peer) {
    case PEER_ROOT:
        return f->event != AUDIT_RECORD_RECOVERED && f->event != AUDIT_RECORD_PURGED;
    case PEER_API:
        return f->event != AUDIT_RECORD_RECOVERED && f->event != AUDIT_RECORD_PURGED &&
               f->event != AUDIT_DAEMON_STARTED && f->event != AUDIT_DAEMON_STOPPED &&
               f->event != AUDIT_SECRET_CHANGED && f->event != AUDIT_EGRESS_DENIED;
    case PEER_NETD:
        return f->event == AUDIT_EGRESS_DENIED || f->event == AUDIT_RECORD_DROPPED;
    case PEER_NONE:
    case PEER_SHIPPER:
        break;
    }
    return false;
}

static void answer(struct recorder *r, struct client *c, struct recorder_msg *m)
{
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };

    m->version = RECORDER_VERSION;
    m->ready = r->trail.ready;
    int rc = ipc_send(c->fd, m, sizeof *m, NULL, 0);
    if (rc == -EAGAIN && poll(&p, 1, PATIENCE_MS) == 1)
        rc = ipc_send(c->fd, m, sizeof *m, NULL, 0);
    if (rc < 0)
        drop(r, c, "does not read");
}

static void answer_status(struct recorder *r, struct client *c, uint64_t request_id, int status)
{
    struct recorder_msg m = { .type = RECORDER_APPEND,
                              .request_id = request_id,
                              .status = status };
    answer(r, c, &m);
}

static void say_hello(struct recorder *r, struct client *c, uint64_t request_id)
{
    struct recorder_msg m = { .type = RECORDER_HELLO,
                              .request_id = request_id,
                              .records = r->trail.records,
                              .backlog = r->backlog,
                              .lost = r->lost };

    for (unsigned i = 0; i < AUDIT_STREAMS; i++)
        m.streams += r->trail.stream[i].seq > 0;
    answer(r, c, &m);
}

static void take_record(struct recorder *r, struct client *c, struct recorder_msg *m)
{
    bool waits = m->type == RECORDER_APPEND;
    int stream;

    /* What is pending is seen, too, and may yet fail: then its sender must ask again. */
    if ((m->flags & RECORDER_AGAIN) && trail_has_seen(&r->trail, m->fields.request_id)) {
        serve_commit(r);
        if (c->fd >= 0 && trail_has_seen(&r->trail, m->fields.request_id)) {
            if (waits)
                answer_status(r, c, m->request_id, 0);
            return;
        }
    }
    stream = c->fd < 0 ? -ENOTCONN : trail_add(&r->trail, &m->fields, clock_real_ns());
    if (stream >= 0)
        r->waiting[r->n_waiting++] =
            (struct waiting){ waits ? c : NULL, m->request_id, (unsigned)stream };
    else if (waits && c->fd >= 0)
        answer_status(r, c, m->request_id, stream);
}

static void take(struct recorder *r, struct client *c, struct recorder_msg *m)
{
    if (m->version != RECORDER_VERSION) {
        drop(r, c, "other version");
    } else if (m->type == RECORDER_HELLO) {
        say_hello(r, c, m->request_id);
    } else if (m->type == RECORDER_SHIPPED && c->peer == PEER_SHIPPER) {
        r->backlog = m->backlog;
        r->lost = m->lost;
        say_hello(r, c, m->request_id);
    } else if ((m->type == RECORDER_APPEND || m->type == RECORDER_NOTE) &&
               may_say(c->peer, &m->fields)) {
        take_record(r, c, m);
    } else {
        drop(r, c, "not its to say");
    }
}

void serve_client(struct recorder *r, struct client *c)
{
    for (unsigned i = 0; i < MESSAGES_A_TURN && c->fd >= 0; i++) {
        struct recorder_msg m;
        if (r->n_waiting == BATCH_MAX || trail_is_full(&r->trail))
            serve_commit(r);
        if (c->fd < 0)
            return;
        int rc = ipc_recv(c->fd, &m, sizeof m, NULL, 0, NULL);
        if (rc == -EAGAIN)
            return;
        if (rc < 0)
            drop(r, c, rc == -ECONNRESET ? "closed" : "protocol");
        else
            take(r, c, &m);
    }
}

void serve_commit(struct recorder *r)
{
    if (r->n_waiting == 0)
        return;
    trail_commit(&r->trail);
    unsigned n = r->n_waiting;
    for (unsigned i = 0; i < n; i++) {
        const struct waiting *w = &r->waiting[i];
        if (w->client)
            answer_status(r, w->client, w->request_id, r->trail.stream[w->stream].rc);
    }
    r->n_waiting = 0;
    serve_tell(r);
}

void serve_tell(struct recorder *r)
{
    if (r->told_ready == r->trail.ready)
        return;
    r->told_ready = r->trail.ready;
    log_event(r->trail.ready ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "ready_changed", "ready=%d",
              r->trail.ready);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct recorder_msg m = { .type = RECORDER_STATE };
        if (r->client[i].fd >= 0 && r->client[i].peer != PEER_NETD)
            answer(r, &r->client[i], &m);
    }
}
