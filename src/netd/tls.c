/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to tlsd (ipc/tlsd_proto.h), which is hostile to us as everything that reads bytes
 * of sandboxes: its notices are fixed structs, and what they can do is to count a refusal or to
 * change what certificate a sandbox is told to trust for hosts whose TLS it ends anyway. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "netd/netd.h"

#define SEND_BYTES (8 << 20) /* connections that may wait for it: some hundred */

static void drop(struct netd *d)
{
    if (d->tls.fd >= 0)
        watch_close(d, &d->tls);
}

static struct box *box_of(struct netd *d, uint64_t generation)
{
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        if (d->box[i].used && d->box[i].generation == generation)
            return &d->box[i];
    return NULL;
}

static int send_to(struct netd *d, const struct tlsd_request *m, const int *fds, size_t n)
{
    int rc = d->tls.fd < 0 ? -ENOTCONN : ipc_send(d->tls.fd, m, sizeof *m, fds, n);

    if (rc < 0 && rc != -EAGAIN && rc != -ENOTCONN)
        drop(d);
    return rc;
}

/* Without headers and a client's bytes. */
static void send_short(struct netd *d, const struct box *b, enum tlsd_request_type type)
{
    AUTO_FREE struct tlsd_request *m = calloc(1, sizeof *m);

    if (!m)
        return;
    m->type = (uint32_t)type;
    m->version = TLSD_VERSION;
    m->box = b->generation;
    m->id = b->id;
    /* A CUT that is lost would leave connections: it is started anew then. */
    if (send_to(d, m, NULL, 0) == -EAGAIN && type == TLSD_CUT)
        drop(d);
}

void tls_want_ca(struct netd *d, struct box *b)
{
    if (b->n_transforms == 0 || b->ca_n > 0)
        return;
    b->ca_asked_ns = clock_mono_ns();
    send_short(d, b, TLSD_CA);
}

void tls_cut(struct netd *d, const struct box *b)
{
    send_short(d, b, TLSD_CUT);
}

static void put_headers(struct tlsd_request *m, const struct transform *t, size_t n)
{
    char *p = m->text;

    for (size_t i = 0; i < n && i < TRANSFORM_HEADERS_MAX; i++) {
        size_t size = (size_t)t[i].name_n + t[i].value_n;
        if (size > sizeof m->text - (size_t)(p - m->text))
            return; /* the API allows no more than fit */
        m->header[i] = (struct tlsd_header){ t[i].name_n, t[i].value_n };
        memcpy(p, t[i].name, t[i].name_n);
        memcpy(p + t[i].name_n, t[i].value, t[i].value_n);
        p += size;
        m->n_headers++;
    }
}

int tls_serve(struct netd *d, const struct box *b, const char *name, size_t first,
              size_t n_headers, struct str said, int client_fd, int server_fd)
{
    const int fds[] = { client_fd, server_fd };
    AUTO_FREE struct tlsd_request *m = calloc(1, sizeof *m);

    if (!m)
        return -ENOMEM;
    m->type = TLSD_SERVE;
    m->version = TLSD_VERSION;
    m->box = b->generation;
    m->id = b->id;
    (void)str_copy(str_from(name), m->name, sizeof m->name); /* normalised: it fits */
    put_headers(m, b->transform + first, n_headers);
    int rc = m->n_headers == n_headers && said.n <= sizeof m->first ? 0 : -EMSGSIZE;
    if (rc == 0) {
        m->first_n = (uint32_t)said.n;
        memcpy(m->first, said.p, said.n);
        rc = send_to(d, m, fds, 2);
    }
    explicit_bzero(m, sizeof *m);
    return rc;
}

/* --- what it says --- */

static void take_certificate(struct netd *d, const struct tlsd_notice *n)
{
    struct box *b = box_by_id(d, &n->id);

    if (!b || n->cert_n == 0 || n->cert_n > TLSD_CERT_MAX || b->ca_n > 0)
        return;
    memcpy(b->ca, n->cert, n->cert_n);
    b->ca_n = n->cert_n;
    b->ca_hash = n->hash;
}

static void take_refusal(struct netd *d, const struct tlsd_notice *n)
{
    static const enum netd_why why[TLSD_WHY_MAX] = { [TLSD_WHY_REQUEST] = NETD_WHY_REQUEST,
                                                     [TLSD_WHY_UPSTREAM] = NETD_WHY_UPSTREAM,
                                                     [TLSD_WHY_LIMIT] = NETD_WHY_LIMIT };
    struct box *b = box_of(d, n->box);

    if (b && n->why < TLSD_WHY_MAX && memchr(n->name, 0, sizeof n->name))
        box_denied(d, b, why[n->why], 0, 443, EGRESS_TCP, n->name);
}

static void on_notice(struct netd *d, struct watch *w, uint32_t events)
{
    struct tlsd_notice n;
    int rc = ipc_recv(w->fd, &n, sizeof n, NULL, 0, NULL);

    (void)events;
    if (rc == -EAGAIN)
        return;
    if (rc < 0 || n.version != TLSD_VERSION) {
        log_warn("tlsd_gone", "err=%d", rc < 0 ? -rc : EPROTO);
        drop(d);
    } else if (n.type == TLSD_CERT) {
        take_certificate(d, &n);
    } else if (n.type == TLSD_REFUSED) {
        take_refusal(d, &n);
    }
}

static void on_listen(struct netd *d, struct watch *w, uint32_t events)
{
    AUTO_CLOSE int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer = { 0 };
    socklen_t n = sizeof peer;
    int size = SEND_BYTES;

    (void)events;
    if (fd < 0)
        return;
    /* It connects before it gives root up. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != 0) {
        log_warn("client_refused", "uid=%u", peer.uid);
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size); /* else fewer wait */
    drop(d);
    d->tls = (struct watch){ fd_steal(&fd), on_notice };
    if (watch_add(d, &d->tls, EPOLLIN) < 0) {
        drop(d);
        return;
    }
    log_info("tlsd_connected", "pid=%d", peer.pid);
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        if (d->box[i].used)
            tls_want_ca(d, &d->box[i]);
}

int tls_open(struct netd *d, struct err *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int n = snprintf(at.sun_path, sizeof at.sun_path, "%s/tlsd.sock", d->opt.run_dir);

    d->tls.fd = -1;
    if (n < 0 || (size_t)n >= sizeof at.sun_path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket");
    if (unlink(at.sun_path) < 0 && errno != ENOENT)
        return err_set(e, errno, "remove the old '%s'", at.sun_path);
    mode_t old = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&at, sizeof at);
    (void)umask(old);
    if (rc < 0 || listen(fd, 2) < 0)
        return err_set(e, errno, "listen on '%s'", at.sun_path);
    d->tls_listen = (struct watch){ fd_steal(&fd), on_listen };
    return 0;
}
