/* SPDX-License-Identifier: Apache-2.0 */
/* canon: canonical JSON as Python's json.dumps(sort_keys=True, separators=(',', ':')) writes it, which signatures of packets are over
 * (requirements 2.1): keys in the order of code points, ASCII, floats as repr() has them, integers without a point. Pure. */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "codec/json.h"

/* Appends it, without the top-level member `without` unless that is NULL. False if out is full. */
bool canon_write(struct buf *out, const json_t *j, const char *without);

/* sig = {"alg":"HMAC-SHA256","kid":...,"hmac":base64} over the document without "sig"; the key is the passphrase's bytes. Replaces what is there. 0 or
 * -ENOMEM. */
int canon_sign(json_t *doc, struct str passphrase, const char *kid);
/* True only for a signature of that form, compared in constant time. */
bool canon_verify(const json_t *doc, struct str passphrase);
