/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/body.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/http1.h"

#define WINDOW_GZIP (15 + 16) /* zlib: the largest window, gzip header and trailer expected */

int body_init(struct body *b, struct http_conn *c)
{
    struct str encoding = str_trim(http1_get(http_head(c), "Content-Encoding"));

    *b = (struct body){ .conn = c };
    http_body_set_max(c, UINT64_MAX);
    if (encoding.n == 0 || str_eq_nocase(encoding, STR("identity")))
        return 0;
    if (!str_eq_nocase(encoding, STR("gzip")))
        return -EINVAL;
    b->in = malloc(BODY_CHUNK);
    if (!b->in || inflateInit2(&b->z, WINDOW_GZIP) != Z_OK) {
        free(b->in);
        b->in = NULL;
        return -ENOMEM;
    }
    b->gzip = true;
    return 0;
}

void body_fini(struct body *b)
{
    if (b->gzip)
        (void)inflateEnd(&b->z);
    free(b->in);
    b->gzip = false;
    b->in = NULL;
}

/* More compressed bytes: 1, 0 at the end of the body, -errno. */
static int refill(struct body *b)
{
    long n = http_body_read(b->conn, b->in, BODY_CHUNK);
    if (n <= 0)
        return (int)n;
    b->z.next_in = b->in;
    b->z.avail_in = (unsigned)n; /* <= BODY_CHUNK */
    return 1;
}

/* 1 if there may be more output, 0 at the end, -errno. */
static int inflate_step(struct body *b)
{
    if (b->z.avail_in == 0) {
        int rc = refill(b);
        if (rc < 0)
            return rc;
        if (rc == 0 && (b->finished || !b->started)) /* an empty body is whole, too */
            return 0;
    }
    if (b->finished && inflateReset(&b->z) != Z_OK) /* another member follows (RFC 1952) */
        return -EBADMSG;
    b->started = true;
    int rc = inflate(&b->z, Z_NO_FLUSH);
    b->finished = rc == Z_STREAM_END;
    if (rc == Z_OK || rc == Z_STREAM_END)
        return 1;
    return rc == Z_MEM_ERROR ? -ENOMEM
                             : -EBADMSG; /* also when the body is cut off: no progress */
}

static long inflate_some(struct body *b, void *out, unsigned n)
{
    b->z.next_out = out;
    b->z.avail_out = n;
    while (b->z.avail_out == n) {
        int rc = inflate_step(b);
        if (rc <= 0)
            return rc;
    }
    return (long)(n - b->z.avail_out);
}

long body_read(struct body *b, void *out, size_t n)
{
    if (!b->gzip)
        return http_body_read(b->conn, out, n);
    return inflate_some(b, out, n < BODY_CHUNK ? (unsigned)n : BODY_CHUNK);
}
