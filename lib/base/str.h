/* SPDX-License-Identifier: Apache-2.0 */
/* str: a borrowed run of bytes, not NUL-terminated, which may hold any byte. A plain value.
 * Whoever makes one keeps the bytes alive; p may be NULL only if n is 0. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })

struct str str_from(const char *cstr);          /* NULL gives the empty str */
bool str_eq(struct str a, struct str b);        /* byte for byte */
bool str_eq_nocase(struct str a, struct str b); /* ASCII case ignored */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t n); /* clamped to s, never out of bounds */
struct str str_trim(struct str s);               /* without leading and trailing SP and HTAB */
bool str_find(struct str s, char c, size_t *at); /* first c; *at is written only if found */
/* Splits at the first c: *head before it, *tail after it; false (and *head = s, *tail empty) if
 * there is none. */
bool str_cut(struct str s, char c, struct str *head, struct str *tail);
/* Copies into a C string of `cap` bytes. 0, -ENAMETOOLONG if it does not fit, -EINVAL if it
 * holds a NUL. */
int str_copy(struct str s, char *out, size_t cap);
/* Equality whose time depends on a.n only. For secrets. */
bool str_eq_secret(struct str a, struct str b);
