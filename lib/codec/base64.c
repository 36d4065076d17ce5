/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/base64.h"

#include <errno.h>
#include <stdint.h>

void base64_encode(const void *p, size_t n, struct buf *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = p;
    char *to = buf_reserve(out, (n + 2) / 3 * 4);

    if (!to)
        return;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) |
                     (i + 2 < n ? b[i + 2] : 0u);
        to[0] = letters[v >> 18];
        to[1] = letters[v >> 12 & 63];
        to[2] = to[3] = '=';
        if (i + 1 < n)
            to[2] = letters[v >> 6 & 63];
        if (i + 2 < n)
            to[3] = letters[v & 63];
        to += 4;
    }
    out->n += (n + 2) / 3 * 4;
    out->p[out->n] = 0;
}

void base64url_encode(const void *p, size_t n, struct buf *out)
{
    size_t start = out->n;

    base64_encode(p, n, out);
    if (!buf_ok(out))
        return;
    while (out->n > start && out->p[out->n - 1] == '=')
        buf_truncate(out, out->n - 1);
    for (size_t i = start; i < out->n; i++) {
        if (out->p[i] == '+')
            out->p[i] = '-';
        else if (out->p[i] == '/')
            out->p[i] = '_';
    }
}

/* *alphabet says which alphabet the 62nd and 63rd letters came from: 0 not yet known, 1
 * standard, 2 URL-safe. */
static int letter(char c, int *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    int which = c == '+' || c == '/' ? 1 : c == '-' || c == '_' ? 2 : 0;
    if (which == 0 || (*alphabet != 0 && *alphabet != which))
        return -1;
    *alphabet = which;
    return c == '+' || c == '-' ? 62 : 63;
}

static size_t without_padding(struct str s, bool *ok)
{
    size_t n = s.n;

    *ok = true;
    if (n > 0 && s.p[n - 1] == '=') {
        *ok = n % 4 == 0;
        n--;
        if (n > 0 && s.p[n - 1] == '=')
            n--;
    }
    return n;
}

int base64_decode(struct str s, struct buf *out)
{
    bool ok;
    size_t n = without_padding(s, &ok);
    size_t start = out->n;
    uint32_t v = 0;
    int bits = 0, alphabet = 0;

    if (!ok || n % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int six = letter(s.p[i], &alphabet);
        if (six < 0) {
            buf_truncate(out, start);
            return -EINVAL;
        }
        v = v << 6 | (uint32_t)six;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_add_char(out, (char)(v >> bits & 255));
        }
    }
    if (v & ((1u << bits) - 1)) { /* bits that no encoder sets */
        buf_truncate(out, start);
        return -EINVAL;
    }
    return 0;
}
