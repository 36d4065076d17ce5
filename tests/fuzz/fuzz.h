/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what the targets share. FUZZ_CHECK is an assertion about the parser under test; a borrowed
 * str must lie within the bytes that it was given. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"

#define FUZZ_CHECK(cond)                                                                       \
    do {                                                                                       \
        if (!(cond))                                                                           \
            abort();                                                                           \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check_within(struct str s, const void *p, size_t n)
{
    const char *base = p;
    FUZZ_CHECK(s.n == 0 || (s.p >= base && s.p + s.n <= base + n));
}
