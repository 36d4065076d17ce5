/* SPDX-License-Identifier: Apache-2.0 */
/* tlsd_proto: what netd and tlsd say to each other, whole. One page.
 *
 * Transport: a SOCK_SEQPACKET Unix socket, RUN/tlsd.sock, on which netd listens and that only root
 * can reach; tlsd connects before it gives root up. Native byte order, one build. netd sends
 * struct tlsd_request, tlsd sends struct tlsd_notice; neither waits for the other. What is out of
 * its range ends the connection, and tlsd with it; `firebreak up` starts it again.
 *
 * tlsd gets two connected sockets and what belongs to them, and nothing else: it opens neither
 * sockets nor files. netd never sees a key. */
#pragma once
#include "ipc/ids.h"
#include "policy/egress.h"
#include "policy/transform.h"

#define TLSD_VERSION   1u
#define TLSD_FIRST_MAX 33792u /* bytes of a client that netd has read: its ClientHello */
#define TLSD_CERT_MAX  2048u  /* a certificate as PEM */

enum tlsd_request_type {
    TLSD_CA = 1, /* the certificate of the sandbox's authority is wanted. 0 fds */
    TLSD_SERVE, /* a connection of the sandbox. 2 fds: the client's, and one to the server that is
                    connected or connecting */
    TLSD_CUT    /* end the connections of that box. 0 fds */
};

struct tlsd_header {
    uint16_t name_n, value_n;
};

struct tlsd_request {
    uint32_t type; /* enum tlsd_request_type */
    uint32_t version;
    uint64_t box; /* netd's generation of it: no other box has it */
    struct sandbox_id id;
    /* SERVE: */
    uint32_t n_headers; /* 1..TRANSFORM_HEADERS_MAX */
    uint32_t first_n;
    char name[EGRESS_NAME_MAX + 3]; /* of the host; normalised, NUL-terminated */
    struct tlsd_header header[TRANSFORM_HEADERS_MAX];
    char text[TRANSFORM_BYTES_MAX]; /* name, value, name, value: secret */
    char first[TLSD_FIRST_MAX];
};
_Static_assert(sizeof(struct tlsd_request) == 16 + 24 + 8 + 256 + 80 + 16384 + 33792,
               "wire size");

enum tlsd_notice_type {
    TLSD_CERT = 1, /* of `id`: cert and hash */
    TLSD_REFUSED,  /* a connection of `box` ended for this reason */
};

enum tlsd_why {
    TLSD_WHY_REQUEST,  /* a request that may not pass: another Host, framing, TRACE */
    TLSD_WHY_UPSTREAM, /* the server cannot be reached, or is not who it must be */
    TLSD_WHY_LIMIT,    /* too many connections, or of this sandbox */
    TLSD_WHY_MAX
};

struct tlsd_notice {
    uint32_t type; /* enum tlsd_notice_type */
    uint32_t version;
    uint64_t box;
    struct sandbox_id id;
    uint32_t why;    /* enum tlsd_why */
    uint32_t hash;   /* CERT: of the subject, as X509_NAME_hash makes it for /etc/ssl/certs */
    uint32_t cert_n; /* CERT: bytes of cert, at most TLSD_CERT_MAX */
    uint32_t unused; /* 0 */
    char name[EGRESS_NAME_MAX + 3]; /* REFUSED: of the host */
    char cert[TLSD_CERT_MAX];
};
_Static_assert(sizeof(struct tlsd_notice) == 16 + 24 + 16 + 256 + 2048, "wire size");
