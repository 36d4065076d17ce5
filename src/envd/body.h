/* SPDX-License-Identifier: Apache-2.0 */
/* body: the body of an upload as it was before Content-Encoding. What gzip grows to is limited by the disk only. */
#pragma once
#include <stdbool.h>
#include <zlib.h>

#include "http/server.h"

#define BODY_CHUNK 65536u

struct body {
    struct http_conn *conn;
    bool gzip, started, finished;
    z_stream z;
    unsigned char *in; /* owned: BODY_CHUNK bytes, with gzip only */
};

#define AUTO_BODY __attribute__((cleanup(body_fini)))

/* Looks at Content-Encoding and lifts the limit of the body's length. 0; -EINVAL if the encoding is not served; -ENOMEM. */
int body_init(struct body *b, struct http_conn *c);
void body_fini(struct body *b);
/* > 0 bytes, 0 at the end, -errno as http_body_read; -EBADMSG if the data is not gzip or is cut off. */
long body_read(struct body *b, void *out, size_t n);
