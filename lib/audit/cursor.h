/* SPDX-License-Identifier: Apache-2.0 */
/* cursor: reading text that has one form only, from left to right. After the first thing that is not as expected everything fails. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "crypto/sha256.h"

struct cursor {
    struct str left;
    bool bad;
};

bool cursor_take(struct cursor *c,
                 const char *word); /* it comes next: it is skipped; else bad */
bool cursor_try(struct cursor *c,
                const char *word); /* the same, but nothing is bad if it does not */
struct str cursor_until(struct cursor *c, char end); /* up to the next `end`, which is left */
uint64_t cursor_u64(struct cursor *c, uint64_t max); /* no leading zero */
void cursor_hex(struct cursor *c, uint8_t *out, size_t n); /* "2n digits" with the quotes */
bool cursor_at_end(const struct cursor *c); /* nothing is left, and nothing was bad */
