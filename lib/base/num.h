/* SPDX-License-Identifier: Apache-2.0 */
/* num: text to integers and back, strictly. Decimal or hexadecimal digits only: no sign, no
 * blank, no 0x, no overflow. *out is written only on success. All return 0, -EINVAL (not a
 * number) or -ERANGE (outside min..max). */
#pragma once
#include <stdint.h>

#include "base/str.h"

int num_parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *out);
/* Here one leading '-' is allowed. */
int num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *out);
int num_parse_hex_u64(struct str s, uint64_t max, uint64_t *out);
