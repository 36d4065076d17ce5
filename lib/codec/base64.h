/* SPDX-License-Identifier: Apache-2.0 */
/* base64: RFC 4648. Pure. */
#pragma once
#include "base/buf.h"
#include "base/str.h"

void base64_encode(const void *p, size_t n, struct buf *out);    /* standard alphabet, padded */
void base64url_encode(const void *p, size_t n, struct buf *out); /* URL-safe, without padding */
/* Accepts the standard and the URL-safe alphabet (not mixed), padded or not, no white space, no
 * stray bits. Appends; 0 or -EINVAL (then nothing was appended). */
int base64_decode(struct str s, struct buf *out);
