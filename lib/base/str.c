/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <string.h>

struct str str_from(const char *cstr)
{
    return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){ s.p, prefix.n }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

struct str str_sub(struct str s, size_t from, size_t n)
{
    if (from >= s.n)
        return (struct str){ s.n ? s.p + s.n : NULL, 0 };
    return (struct str){ s.p + from, n < s.n - from ? n : s.n - from };
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = (struct str){ s.p + 1, s.n - 1 };
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool str_find(struct str s, char c, size_t *at)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;

    if (!hit)
        return false;
    *at = (size_t)(hit - s.p);
    return true;
}

bool str_cut(struct str s, char c, struct str *head, struct str *tail)
{
    size_t at;

    if (!str_find(s, c, &at)) {
        *head = s;
        *tail = (struct str){ NULL, 0 };
        return false;
    }
    *head = (struct str){ s.p, at };
    *tail = (struct str){ s.p + at + 1, s.n - at - 1 };
    return true;
}

int str_copy(struct str s, char *out, size_t cap)
{
    size_t at;

    if (s.n >= cap)
        return -ENAMETOOLONG;
    if (str_find(s, 0, &at))
        return -EINVAL;
    if (s.n > 0)
        memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return 0;
}

bool str_eq_secret(struct str a, struct str b)
{
    unsigned char differ = a.n != b.n;

    for (size_t i = 0; i < a.n; i++)
        differ |= (unsigned char)(a.p[i] ^ (b.n ? b.p[i % b.n] : 0));
    return differ == 0;
}
