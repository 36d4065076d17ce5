/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/transform.h"

#include <errno.h>
#include <string.h>

int transform_host_parse(struct str text, struct transform *out)
{
    char name[EGRESS_NAME_MAX + 1];
    bool wildcard = str_starts(text, STR("*."));

    if (text.n > TRANSFORM_HOST_MAX ||
        egress_name_normalise(wildcard ? str_sub(text, 2, text.n) : text, name) < 0)
        return -EINVAL;
    out->wildcard = wildcard;
    memset(out->host, 0, sizeof out->host);
    return str_copy(str_from(name), out->host, sizeof out->host);
}

bool transform_ok(const struct transform *t)
{
    char name[EGRESS_NAME_MAX + 1];

    return t->wildcard <= 1 && t->name_n >= 1 && t->name_n <= TRANSFORM_NAME_MAX &&
           t->value_n >= 1 && t->value_n <= TRANSFORM_VALUE_MAX &&
           memchr(t->host, 0, sizeof t->host) &&
           egress_name_normalise(str_from(t->host), name) == 0 && strcmp(name, t->host) == 0;
}

static bool same_host(const struct transform *a, const struct transform *b)
{
    return a->wildcard == b->wildcard && strcmp(a->host, b->host) == 0;
}

/* How well does it fit? 0: not at all. */
static size_t fit(const struct transform *t, const char *name)
{
    size_t host_n = strlen(t->host), n = strlen(name);

    if (!t->wildcard)
        return strcmp(t->host, name) == 0 ? SIZE_MAX : 0;
    return n > host_n + 1 && name[n - host_n - 1] == '.' &&
                   strcmp(name + n - host_n, t->host) == 0
               ? host_n
               : 0;
}

size_t transform_find(const struct transform *list, size_t n, const char *name, size_t *first)
{
    size_t best = 0, at = 0, k = 0;

    for (size_t i = 0; i < n; i++) {
        size_t f = fit(&list[i], name);
        if (f > best) {
            best = f;
            at = i;
        }
    }
    while (best > 0 && at + k < n && same_host(&list[at], &list[at + k]))
        k++;
    *first = at;
    return k;
}
