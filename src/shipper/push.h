/* SPDX-License-Identifier: Apache-2.0 */
/* shipper/push: one push to Loki (Loki HTTP API, POST /loki/api/v1/push; requirements 2.4). */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define PUSH_LINES_MAX 512u

struct push_line {
    uint64_t real_ns; /* of its timestamp */
    unsigned stream;  /* or AUDIT_HEADS_STREAM */
    uint32_t event;   /* of no meaning for a head */
    char *text;       /* owned by whoever made the batch */
};
struct push_target {
    struct sockaddr_storage address;
    socklen_t address_n;
    char host[300];     /* for the Host header */
    char prefix[256];   /* of the path */
    const char *tenant; /* X-Scope-OrgID, or NULL */
};

/* The body: one stream for each set of labels, its lines in order. Pure. */
void push_body(const struct push_line *line, size_t n, struct buf *out);

enum push_result {
    PUSH_TAKEN,
    PUSH_REFUSED, /* 400, 413: these lines, whenever they are sent */
    PUSH_LATER    /* no connection, no answer, any other status: *e says which */
};
enum push_result push_send(const struct push_target *t, const struct push_line *line, size_t n,
                           struct err *e);
