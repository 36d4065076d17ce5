/* SPDX-License-Identifier: Apache-2.0 */
/* tlsd: the whole program's data. One thread, one event loop; made in main.c and passed down. */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/http1_pass.h"
#include "ipc/tlsd_proto.h"

#define SEED_N       32u
#define LEAVES_MAX   256u
#define CONNS_MAX    512u
#define CONNS_OF_ONE 128u
#define ASK_FILL     (HTTP1_HEAD_MAX + 1024u)
#define ASK_BYTES    (ASK_FILL + HTTP1_GROWTH_MAX)
#define SAY_BYTES    16384u
#define REASON_N     160u

struct tlsd;

struct watch {
    int fd; /* -1: closed */
    void (*ready)(struct tlsd *t, struct watch *w, uint32_t events);
};

/* --- authorities and certificates (ca.c) --- */

/* A certificate of one host for one sandbox, ready to be served. */
struct leaf {
    struct sandbox_id id;
    char name[EGRESS_NAME_MAX + 3];
    SSL_CTX *ctx; /* owned; NULL: free */
    uint64_t made_ns, used_ns;
};

struct authorities {
    uint8_t seed
        [SEED_N]; /* all keys of authorities follow from it, so that they outlive this process */
    EVP_PKEY *leaf_key; /* of all leaves; of this process only */
    struct leaf leaf[LEAVES_MAX];
};
int ca_init(struct authorities *a, struct err *e); /* after the seed */
/* The certificate of a sandbox's authority as PEM in out; *hash of its subject. Returns its bytes,
 * or -errno. */
int ca_certificate(const struct authorities *a, const struct sandbox_id *id,
                   char out[TLSD_CERT_MAX], uint32_t *hash);
/* What to serve as `name` to that sandbox; borrowed until the next call. NULL when out of memory. */
SSL_CTX *ca_leaf(struct authorities *a, const struct sandbox_id *id, const char *name,
                 uint64_t now_ns);

/* --- connections (conn.c) --- */

struct conn;

struct tlsd {
    int epoll_fd;
    struct watch netd, tick, signals;
    struct authorities ca;
    SSL_CTX *to_servers; /* trusts the system's authorities, and the operator's */
    struct conn *conns;  /* list */
    unsigned n_conns;
    struct tlsd_request request; /* being received */
    bool stop;
};

/* --- loop (main.c) --- */
int watch_add(struct tlsd *t, struct watch *w, uint32_t events);
int watch_change(struct tlsd *t, struct watch *w, uint32_t events);
void watch_close(struct tlsd *t, struct watch *w);
void tell(struct tlsd *t, const struct tlsd_notice *n); /* ends the program if netd is gone */

/* Takes both descriptors. `m` is checked, and wiped by the caller. */
void conn_serve(struct tlsd *t, const struct tlsd_request *m, int client_fd, int server_fd);
void conn_cut(struct tlsd *t, uint64_t box);
void conn_tick(struct tlsd *t, uint64_t now_ns);
