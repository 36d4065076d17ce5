/* SPDX-License-Identifier: Apache-2.0 */
/* auth/sign: HMAC-SHA256 (RFC 2104), by OpenSSL. It cannot fail but for want of memory, which ends the program: a signature must
 * never be taken for checked that was not. */
#pragma once
#include "auth/digest.h"
#include "base/str.h"

struct digest hmac_sha256(struct str key, struct str message);
