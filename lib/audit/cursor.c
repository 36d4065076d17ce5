/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/cursor.h"

#include "base/num.h"

bool cursor_try(struct cursor *c, const char *word)
{
    struct str w = str_from(word);

    if (c->bad || !str_starts(c->left, w))
        return false;
    c->left = str_sub(c->left, w.n, c->left.n);
    return true;
}

bool cursor_take(struct cursor *c, const char *word)
{
    if (!cursor_try(c, word))
        c->bad = true;
    return !c->bad;
}

struct str cursor_until(struct cursor *c, char end)
{
    size_t n;

    if (c->bad || !str_find(c->left, end, &n)) {
        c->bad = true;
        return STR("");
    }
    struct str got = str_sub(c->left, 0, n);
    c->left = str_sub(c->left, n, c->left.n);
    return got;
}

uint64_t cursor_u64(struct cursor *c, uint64_t max)
{
    size_t n = 0;
    uint64_t v = 0;

    while (n < c->left.n && c->left.p[n] >= '0' && c->left.p[n] <= '9')
        n++;
    if (n == 0 || (n > 1 && c->left.p[0] == '0') ||
        num_parse_u64(str_sub(c->left, 0, n), 0, max, &v) < 0)
        c->bad = true;
    if (c->bad)
        return 0;
    c->left = str_sub(c->left, n, c->left.n);
    return v;
}

void cursor_hex(struct cursor *c, uint8_t *out, size_t n)
{
    (void)cursor_take(c, "\"");
    struct str digits = cursor_until(c, '"');
    if (!c->bad && hex_decode(digits, out, n) < 0)
        c->bad = true;
    (void)cursor_take(c, "\"");
}

bool cursor_at_end(const struct cursor *c)
{
    return !c->bad && c->left.n == 0;
}
