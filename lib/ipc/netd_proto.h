/* SPDX-License-Identifier: Apache-2.0 */
/* netd_proto: everything that can be said to netd, whole. One page.
 *
 * Transport: a SOCK_SEQPACKET Unix socket, RUN/netd.sock; native byte order, both ends are one
 * build (`version` in every message says so). A peer is served only if SO_PEERCRED says that it
 * runs as the API's uid. A request is one struct netd_msg, with a descriptor if it says so,
 * followed by n_rules messages of struct egress_rule, n_transforms of struct transform (which hold
 * secrets) and n_pairs of struct netd_pair. Each
 * request is answered once, in order. Wrong size, type, fd count or a value outside of its range
 * ends the connection.
 *
 * netd keeps nothing on disk: after a restart of netd the API attaches every sandbox again and
 * then says NETD_SYNCED; until then a sandbox that netd has not been told of reaches nothing. */
#pragma once
#include "ipc/ids.h"
#include "ipc/tlsd_proto.h"
#include "policy/egress.h"
#include "policy/transform.h"

#define NETD_VERSION    2u
#define NETD_PAIRS_MAX  64u
#define NETD_TEXT_MAX   4096u /* bytes of a key or a value of the creator's metadata */
#define NETD_TEMPLATE_N 64u

/* What every sandbox with a network sees under the same addresses. */
#define NETD_RESOLVER 0xa9fea9fdu /* 169.254.169.253, port 53, UDP and TCP */
#define NETD_METADATA 0xa9fea9feu /* 169.254.169.254, port 80 */

enum netd_type {
    NETD_HELLO = 1, /* answered by itself. 0 fds */
    NETD_ATTACH, /* give a sandbox a network, with this policy in force before its first packet; or
                    tell again of one that has it. 1 fd: MONITOR_NETNS's. Rules, transforms and
                    pairs follow */
    NETD_POLICY, /* replace the policy of one that has a network; flows that it does not allow are
                    cut. 0 fds. Rules and transforms follow. -ENOENT */
    NETD_DETACH, /* forget one that has ended; its interface goes with its namespace. 0 fds */
    NETD_SYNCED, /* all that live have been attached: what is left of others is removed. 0 fds */
    NETD_STATS,  /* counters of all together. 0 fds */
    NETD_TRAFFIC, /* bytes of each sandbox: a struct netd_traffic follows the answer. 0 fds */
    NETD_CA /* the certificate of the authority that shows it hosts whose requests get headers.
                    -EAGAIN: not known yet; -ENOENT: no header is set. 0 fds */
};

/* Why something was refused: the label of counters and of events. */
enum netd_why {
    NETD_WHY_SPOOFED, /* another source address than its own */
    NETD_WHY_IPV6,
    NETD_WHY_SPECIAL,  /* an address that nobody may reach */
    NETD_WHY_HOST,     /* the host itself */
    NETD_WHY_SANDBOX,  /* another sandbox */
    NETD_WHY_PROTOCOL, /* neither TCP nor UDP */
    NETD_WHY_POLICY,
    NETD_WHY_LIMIT,    /* connections or bytes */
    NETD_WHY_DOWN,     /* netd was not there to watch */
    NETD_WHY_NAME,     /* resolver: a name that is not allowed */
    NETD_WHY_QTYPE,    /* resolver: a question that it does not answer */
    NETD_WHY_RATE,     /* resolver: too many questions */
    NETD_WHY_REBIND,   /* resolver: an answer with an address that nobody may reach */
    NETD_WHY_SNI,      /* proxy: the name in TLS or HTTP is not one that led to the address */
    NETD_WHY_REQUEST,  /* tlsd: a request that may not pass with headers set on it */
    NETD_WHY_UPSTREAM, /* tlsd: the server cannot be reached, or is not who it must be */
    NETD_WHY_MAX
};

struct netd_counters {
    uint64_t up_bytes, up_packets, down_bytes, down_packets;
    uint64_t denied[NETD_WHY_MAX];
    uint64_t names_resolved, proxied;
};

struct netd_msg {
    uint32_t type; /* enum netd_type */
    uint32_t version;
    uint64_t request_id;   /* echoed */
    int32_t status;        /* answers: 0 or -errno */
    uint32_t n_rules;      /* ATTACH, POLICY: at most EGRESS_RULES_MAX */
    uint32_t n_transforms; /* ATTACH, POLICY: at most TRANSFORM_MAX */
    uint32_t n_pairs;      /* ATTACH: at most NETD_PAIRS_MAX */
    uint32_t open;         /* ATTACH, POLICY: egress_policy.open, 0 or 1 */
    struct sandbox_id id;
    char template[NETD_TEMPLATE_N]; /* ATTACH: for the metadata service; NUL-terminated */
    uint32_t address;               /* answer to ATTACH: the sandbox's, host order */
    uint32_t n_attached;            /* answer to HELLO and STATS */
    uint32_t ca_n, ca_hash;         /* answer to CA: bytes of ca, hash of its subject */
    uint32_t unused;                /* 0 */
    struct netd_counters counters;  /* answer to STATS */
    char ca[TLSD_CERT_MAX];         /* answer to CA: PEM */
};
_Static_assert(sizeof(struct netd_msg) ==
                   32 + 24 + 64 + 24 + TLSD_CERT_MAX + 8 * (6 + NETD_WHY_MAX),
               "wire size");

/* Follows the answer to TRAFFIC. */
#define NETD_TRAFFIC_MAX 512u /* as many as netd gives a network */
struct netd_traffic {
    uint32_t n, unused;
    struct netd_traffic_row {
        struct sandbox_id id;
        uint64_t up_bytes, down_bytes; /* since it has a network, or netd a new table */
    } row[NETD_TRAFFIC_MAX];
};
_Static_assert(sizeof(struct netd_traffic) == 8 + NETD_TRAFFIC_MAX * 40, "wire size");

/* One entry of the metadata that the sandbox's creator gave. */
struct netd_pair {
    uint16_t key_n, value_n;      /* at most NETD_TEXT_MAX */
    char text[2 * NETD_TEXT_MAX]; /* key, then value */
};
_Static_assert(sizeof(struct netd_pair) == 8196, "wire size");

const char *netd_why_text(enum netd_why why); /* "policy"; never NULL */
