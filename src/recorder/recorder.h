/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: the whole program's data. One thread, one loop; made in main.c and passed down. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/recorder_proto.h"
#include "recorder/trail.h"

#define CLIENTS_MAX 64u
#define BATCH_MAX   1024u /* records of one commit */

struct options {
    const char *state_dir, *run_dir;
    uid_t uid, api_uid, shipper_uid;
    int peer_fd;     /* a connected socket of somebody who has no way to the path, or -1 */
    uint64_t head_s; /* seconds between heads */
};

enum peer { PEER_NONE, PEER_ROOT, PEER_API, PEER_NETD, PEER_SHIPPER };

struct client {
    int fd; /* -1: free */
    enum peer peer;
};

/* A record of the batch whose sender waits. */
struct waiting {
    struct client *client; /* NULL: gone meanwhile, or it does not wait */
    uint64_t request_id;
    unsigned stream;
};

struct recorder {
    struct options opt;
    int epoll_fd, listen_fd, tick_fd, signal_fd;
    bool stop;
    bool told_ready;        /* what clients know */
    uint64_t backlog, lost; /* of the shipper */
    struct client client[CLIENTS_MAX];
    struct waiting waiting[BATCH_MAX];
    unsigned n_waiting;
    struct trail trail;
};

/* --- serve.c --- */
int serve_open(struct recorder *r, struct err *e); /* RUN/recorder.sock, and peer_fd */
void serve_accept(struct recorder *r);
/* Takes what a client has sent into the batch. */
void serve_client(struct recorder *r, struct client *c);
/* Commits the batch and answers. */
void serve_commit(struct recorder *r);
/* Tells all clients if `ready` is not what they know. */
void serve_tell(struct recorder *r);
