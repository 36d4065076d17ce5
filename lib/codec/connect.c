/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/connect.h"

#include <errno.h>

#include "base/auto.h"

static const struct {
    const char *name;
    unsigned status;
} codes[] = {
    [CONNECT_CANCELED] = { "canceled", 499 },
    [CONNECT_UNKNOWN] = { "unknown", 500 },
    [CONNECT_INVALID_ARGUMENT] = { "invalid_argument", 400 },
    [CONNECT_DEADLINE_EXCEEDED] = { "deadline_exceeded", 504 },
    [CONNECT_NOT_FOUND] = { "not_found", 404 },
    [CONNECT_ALREADY_EXISTS] = { "already_exists", 409 },
    [CONNECT_PERMISSION_DENIED] = { "permission_denied", 403 },
    [CONNECT_RESOURCE_EXHAUSTED] = { "resource_exhausted", 429 },
    [CONNECT_FAILED_PRECONDITION] = { "failed_precondition", 400 },
    [CONNECT_ABORTED] = { "aborted", 409 },
    [CONNECT_OUT_OF_RANGE] = { "out_of_range", 400 },
    [CONNECT_UNIMPLEMENTED] = { "unimplemented", 501 },
    [CONNECT_INTERNAL] = { "internal", 500 },
    [CONNECT_UNAVAILABLE] = { "unavailable", 503 },
    [CONNECT_DATA_LOSS] = { "data_loss", 500 },
    [CONNECT_UNAUTHENTICATED] = { "unauthenticated", 401 },
};

static bool known(enum connect_code c)
{
    return c >= CONNECT_CANCELED && (size_t)c < ARRAY_LEN(codes);
}

const char *connect_code_name(enum connect_code c)
{
    return known(c) ? codes[c].name : "unknown";
}

unsigned connect_code_status(enum connect_code c)
{
    return known(c) ? codes[c].status : 500;
}

long connect_read(const void *p, size_t n, size_t max, unsigned *flags, struct str *payload)
{
    const unsigned char *b = p;

    if (n >= 1 && (b[0] & ~CONNECT_FLAG_END))
        return -EPROTO;
    if (n < CONNECT_PREFIX)
        return 0;
    size_t length = (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];
    if (length > max)
        return -EMSGSIZE;
    if (n - CONNECT_PREFIX < length)
        return 0;
    *flags = b[0];
    *payload = (struct str){ (const char *)p + CONNECT_PREFIX, length };
    return (long)(CONNECT_PREFIX + length);
}

void connect_write(struct buf *out, unsigned flags, struct str payload)
{
    if (payload.n > UINT32_MAX) {
        out->failed = out->failed ? out->failed : EMSGSIZE;
        return;
    }
    const unsigned char head[CONNECT_PREFIX] = { (unsigned char)flags,
                                                 (unsigned char)(payload.n >> 24),
                                                 (unsigned char)(payload.n >> 16),
                                                 (unsigned char)(payload.n >> 8),
                                                 (unsigned char)payload.n };
    buf_add(out, head, sizeof head);
    buf_add_str(out, payload);
}
