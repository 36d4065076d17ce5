/* SPDX-License-Identifier: Apache-2.0 */
/* netd: the whole program's data. One thread, one event loop; made in main.c and passed down. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/token_bucket.h"
#include "ipc/netd_proto.h"
#include "ipc/tlsd_proto.h"
#include "policy/egress.h"
#include "sys/netname.h"

#define NETD_BOXES_MAX NETD_TRAFFIC_MAX
#define RANGE_PREFIX   22u /* 1024 addresses: the gateway is the second, boxes follow it */

/* Ports on the gateway address. Nobody sees them: the kernel rewrites to them. */
#define PORT_RESOLVER 1053u
#define PORT_METADATA 1080u
#define PORT_PROXY    1443u

#define PINS_MAX   1024u /* names and addresses of one sandbox */
#define TOKENS_MAX 8u    /* of the metadata service, for one sandbox */
#define TOKEN_TEXT 48u   /* characters of a token, without the NUL */

struct netd;

/* A descriptor in the event loop; a member of what it belongs to. */
struct watch {
    int fd;
    void (*ready)(struct netd *d, struct watch *w, uint32_t events);
};

struct pin {
    uint32_t addr;
    uint64_t until_ns; /* monotonic */
    char name[EGRESS_NAME_MAX + 1];
};

struct token {
    char text[TOKEN_TEXT + 1];
    uint64_t until_ns;
};

/* One sandbox with a network. */
struct box {
    bool used;
    bool is_told;        /* since the API connected */
    bool in_table;       /* the kernel lets it speak */
    uint64_t generation; /* a box of the same index is another one if this differs */
    uint32_t index;
    uint32_t addr; /* host order */
    struct sandbox_id id;
    char interface[16];
    char template[NETD_TEMPLATE_N];

    struct egress_policy policy;  /* its rules are ours */
    struct egress_region *region; /* what the kernel has, owned */
    size_t n_regions;

    struct transform *transform; /* owned, wiped at the end: headers to set, by host */
    size_t n_transforms;
    char ca[TLSD_CERT_MAX]; /* of its authority, as tlsd has told; ca_n 0: not yet */
    uint32_t ca_n, ca_hash;
    uint64_t ca_asked_ns; /* when tlsd was asked for it last */

    struct netd_pair *pair; /* owned */
    size_t n_pairs;

    struct pin *pin; /* owned */
    size_t n_pins;

    struct token token[TOKENS_MAX];
    unsigned next_token;

    struct token_bucket questions;
    struct token_bucket events[NETD_WHY_MAX]; /* a flood of one kind hides no other */
    unsigned n_conns;                         /* proxied now */
    uint64_t denied[NETD_WHY_MAX];            /* counted here, not in the kernel */
    uint64_t names_resolved, proxied;
};

struct options {
    const char *instance, *run_dir, *upstream, *range;
    uint32_t api_uid, uid;
    uint32_t conns;       /* of one sandbox at once */
    uint64_t bytes_per_s; /* of one sandbox, each way */
    uint32_t record_fd;   /* to the recorder; 0: none */
    bool guard_forward;   /* forwarding is on for us only: refuse everybody else's */
    bool remove;
};

struct nft_ctx;
struct proxy_conn;
struct question;
struct stream;
struct visitor;

struct netd {
    struct options opt;
    struct netname name;
    uint32_t range, gateway; /* host order */
    uint16_t log_group;
    uint32_t conns_of_one,
        starts_per_s; /* of one sandbox: also a share of what the kernel can remember */

    int epoll_fd;
    struct watch listen, tick, signals, log, guard, dns_udp, dns_tcp, metadata, proxy;
    struct watch tls_listen; /* RUN/tlsd.sock */
    struct watch tls;        /* tlsd's connection; fd -1: none */
    struct watch client;     /* the API's connection; fd -1: none */
    struct netd_msg request; /* being received, with what must still follow it */
    int request_fd;
    struct egress_rule rule[EGRESS_RULES_MAX];
    struct transform *transform; /* n_transforms of the request, owned */
    struct netd_pair *pair;      /* n_pairs of the request, owned */
    uint32_t rules_got, transforms_got, pairs_got;

    int route_fd, flow_fd; /* netlink: links and addresses, connections */
    uint32_t sequence;
    uint64_t own_netns; /* cookie */
    struct nft_ctx *nft;
    struct sockaddr_in upstream;

    struct box box[NETD_BOXES_MAX];
    uint32_t next_index;
    uint64_t generation;
    uint64_t denied[NETD_WHY_MAX]; /* of sandboxes that have ended, and of nobody */
    unsigned n_conns, n_questions;
    struct proxy_conn *conns;   /* list */
    struct question *questions; /* list */
    struct stream *streams;     /* list */
    struct visitor *visitors;   /* list, of the metadata service */
    unsigned ticks;
    uint64_t
        unrecorded; /* refusals that the recorder's socket had no room for, and it has not been told of */
    bool stop;
};

/* --- loop (main.c) --- */
int watch_add(struct netd *d, struct watch *w, uint32_t events);
int watch_change(struct netd *d, struct watch *w, uint32_t events);
void watch_remove(struct netd *d, struct watch *w); /* from the loop; it stays open */
void watch_close(struct netd *d, struct watch *w);  /* closes the descriptor */

/* --- the record (record.c) --- */
/* A refusal; never waits. */
void record_denied(struct netd *d, const struct box *b, const char *reason);
void record_tick(struct netd *d);

/* --- boxes (box.c) --- */
struct box *box_by_id(struct netd *d, const struct sandbox_id *id);
struct box *box_by_addr(struct netd *d, uint32_t addr);
void box_free(struct netd *d, struct box *b); /* memory only; it is unused then */
/* Counts it, and writes an event unless this sandbox has had its share of them. */
void box_denied(struct netd *d, struct box *b, enum netd_why why, uint32_t addr, uint16_t port,
                uint8_t proto, const char *name);
/* The pin of that name and address, or NULL. */
struct pin *box_pin(struct box *b, const char *name, uint32_t addr, uint64_t now_ns);
bool box_has_pin_to(const struct box *b, uint32_t addr, uint64_t now_ns);
/* The headers to set on its requests to that name: *first of b->transform and how many. */
size_t box_transforms(const struct box *b, const char *name, size_t *first);
/* Owned and wiped; n of them. */
void transforms_free(struct transform *t, size_t n);
/* Makes a pin last until then, in memory. False if there is no room. */
bool box_add_pin(struct box *b, const char *name, uint32_t addr, uint64_t until_ns,
                 uint64_t now_ns);

/* --- the kernel's table (table.c) --- */
int table_open(struct netd *d, struct err *e);   /* the library */
int table_create(struct netd *d, struct err *e); /* anew: nobody is in it */
int table_remove(struct netd *d, struct err *e); /* 0 also if there is none */
int table_lease(struct netd *d,
                struct err *e); /* new connections are let through, for a while */
/* Puts a box's entries in, replacing those that it has. */
int table_set_box(struct netd *d, struct box *b, struct egress_region *region, size_t n,
                  bool is_new, struct err *e);
/* The same entries again, into a table that is new. */
int table_restore_box(struct netd *d, struct box *b, struct err *e);
int table_remove_box(struct netd *d, const struct box *b, struct err *e);
/* `replace`: there may be an element of that address already. */
int table_pin(struct netd *d, const struct box *b, const char *name, uint32_t addr,
              uint32_t seconds, bool replace, struct err *e);
/* Closes the addresses of all its names: in one go where that can be, since a sandbox may have a thousand. */
void table_unpin(struct netd *d, const struct box *b);
int table_counters(struct netd *d, struct netd_counters *c, struct err *e); /* adds */
/* The bytes of each box, by its index; both arrays have NETD_BOXES_MAX. */
int table_traffic(struct netd *d, uint64_t *up, uint64_t *down, struct err *e);

/* --- links (link.c) --- */
int link_open(struct netd *d, struct err *e);
/* Is it a route socket of another network namespace than ours? Then that namespace, or -errno. */
int link_namespace_of(struct netd *d, int socket_fd);
int link_make(struct netd *d, const struct box *b, int inside_fd, int netns_fd, struct err *e);
/* Calls fn for each interface of this instance with the sandbox's id that it carries. */
int link_each(struct netd *d,
              void (*fn)(struct netd *d, int index, const char *name, const char *id),
              struct err *e);
int link_delete(struct netd *d, int index);

/* --- connections (flow.c) --- */
int flow_open(struct netd *d, struct err *e);
/* Ends the connections of a sandbox that its policy does not allow; all of them if !policy. */
void flow_cut(struct netd *d, struct box *b, bool all);
int log_open(struct netd *d, struct err *e); /* what the kernel refuses is told to us */
/* Somebody else's removal of our table is told to us, too. */
int guard_open(struct netd *d, struct err *e);
/* The table is gone: makes it again, with everything that was in it. */
void serve_restore_table(struct netd *d);

/* --- services --- */
int resolver_open(struct netd *d, struct err *e);
void resolver_tick(struct netd *d, uint64_t now_ns);
int proxy_open(struct netd *d, struct err *e);
void proxy_tick(struct netd *d, uint64_t now_ns);
/* After its policy has changed, or its end; `other_headers`: those that are set have changed, too. */
void proxy_recheck(struct netd *d, struct box *b, bool other_headers);
int metadata_open(struct netd *d, struct err *e);
/* What the metadata service answers to a whole request head. Pure but for the box's tokens. */
struct http1_head;
struct buf;
void metadata_tick(struct netd *d, uint64_t now_ns);
void metadata_answer(struct box *b, const struct http1_head *head, uint64_t now_ns,
                     struct buf *out);

/* --- tlsd (tls.c) --- */
int tls_open(struct netd *d, struct err *e);
/* The certificate of its authority is wanted, if there are headers and it is not known. */
void tls_want_ca(struct netd *d, struct box *b);
void tls_cut(struct netd *d, const struct box *b); /* its connections */
/* Hands a connection over, with what the client has said; both descriptors stay the caller's.
 * 0 or -errno: -ENOTCONN without tlsd. */
int tls_serve(struct netd *d, const struct box *b, const char *name, size_t first,
              size_t n_headers, struct str said, int client_fd, int server_fd);

/* --- the protocol (serve.c) --- */
int serve_open(struct netd *d, struct err *e);
/* Finds the interfaces of a netd before this one. */
void serve_recover(struct netd *d);

/* A TCP listener on the gateway address. */
int listen_on_gateway(struct netd *d, uint16_t port, int *fd, struct err *e);
