/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/url.h"

#include <errno.h>
#include <string.h>

void url_split_target(struct str target, struct str *path, struct str *query)
{
    (void)str_cut(target, '?', path, query);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int url_decode(struct str s, bool plus_is_blank, struct buf *out)
{
    size_t start = out->n;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus_is_blank)
            c = ' ';
        if (c == '%') {
            int hi = s.n - i > 2 ? hex(s.p[i + 1]) : -1;
            int lo = s.n - i > 2 ? hex(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0 || hi + lo == 0) {
                buf_truncate(out, start);
                return -EINVAL;
            }
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        buf_add_char(out, c);
    }
    return 0;
}

void url_encode(struct str s, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            buf_add_char(out, (char)c);
            continue;
        }
        buf_add_char(out, '%');
        buf_add_char(out, digits[c >> 4]);
        buf_add_char(out, digits[c & 15]);
    }
}

bool url_next_segment(struct str *rest, struct str *segment)
{
    size_t at;

    if (rest->n == 0 || rest->p[0] != '/')
        return false;
    struct str after = str_sub(*rest, 1, rest->n);
    size_t n = str_find(after, '/', &at) ? at : after.n;
    *segment = str_sub(after, 0, n);
    *rest = str_sub(after, n, after.n);
    return true;
}

bool url_next_pair(struct str *rest, struct str *key, struct str *value)
{
    struct str pair;

    while (rest->n > 0) {
        (void)str_cut(*rest, '&', &pair, rest);
        if (pair.n == 0)
            continue;
        (void)str_cut(pair, '=', key, value);
        return true;
    }
    return false;
}

int url_query_get(struct str query, const char *key, struct buf *out)
{
    struct str k, v;
    AUTO_BUF struct buf name = BUF_INIT(256);

    while (url_next_pair(&query, &k, &v)) {
        buf_clear(&name);
        if (url_decode(k, true, &name) < 0)
            return -EINVAL;
        if (buf_ok(&name) && str_eq(buf_str(&name), str_from(key)))
            return url_decode(v, true, out);
    }
    return -ENOENT;
}
