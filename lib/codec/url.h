/* SPDX-License-Identifier: Apache-2.0 */
/* url: percent-encoding (RFC 3986) and request targets. Pure. */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* Splits "/a/b?x=y" at the first '?'. *query is empty if there is none. */
void url_split_target(struct str target, struct str *path, struct str *query);

/* Appends s decoded. plus_is_blank: form decoding. -EINVAL (then nothing was appended) on a bad
 * %, or on %00 (nothing useful holds a NUL). */
int url_decode(struct str s, bool plus_is_blank, struct buf *out);
/* Appends s with everything but [A-Za-z0-9-._~] percent-encoded. */
void url_encode(struct str s, struct buf *out);

/* Walks a path segment by segment: *rest starts as "/a/b%2Fc", gives "a" then "b%2Fc" (still
 * encoded: decode each after splitting). False at the end. Empty segments are given as such. */
bool url_next_segment(struct str *rest, struct str *segment);

/* Walks k=v&k2=v2: *rest is consumed. Key and value are still encoded. False at the end. Empty
 * pairs are skipped. */
bool url_next_pair(struct str *rest, struct str *key, struct str *value);

/* The form-decoded value of the first pair whose decoded key is `key`, appended to *out.
 * 0 found, -ENOENT absent, -EINVAL bad encoding. */
int url_query_get(struct str query, const char *key, struct buf *out);
