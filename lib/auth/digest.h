/* SPDX-License-Identifier: Apache-2.0 */
/* auth/digest: SHA-256, and HMAC with it, of what identifies somebody or something. */
#pragma once
#include <stdint.h>

#include "base/str.h"

struct digest {
    uint8_t byte[32];
};
/* Cannot fail but for want of memory, which ends the program: a wrong digest must never be compared. */
struct digest digest_of(struct str s);
/* HMAC-SHA256 (RFC 2104). Likewise. */
struct digest digest_hmac(struct str key, struct str message);
