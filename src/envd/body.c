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

static long inflate_some(struct body *b, void *out, unsigned n)
{
    b->z.next_out = out;
    b->z.avail_out = n;
    while (b->z.avail_out == n) {
        if (b->z.avail_in == 0) {
            int rc = refill(b);
            if (rc < 0)
                return rc;
            if (rc == 0) /* an empty body, or one that ends with a member, is whole */
                return b->started && !b->finished ? -EBADMSG : 0;
        }
        if (b->finished && inflateReset(&b->z) != Z_OK) /* another member follows (RFC 1952) */
            return -EBADMSG;
        b->started = true;
        b->finished = false;
        int rc = inflate(&b->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            b->finished = true;
        else if (rc != Z_OK)
            return rc == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
    }
    return (long)(n - b->z.avail_out);
}

long body_read(struct body *b, void *out, size_t n)
{
    if (!b->gzip)
        return http_body_read(b->conn, out, n);
    return inflate_some(b, out, n < BODY_CHUNK ? (unsigned)n : BODY_CHUNK);
}
