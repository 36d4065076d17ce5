/* SPDX-License-Identifier: Apache-2.0 */
/* json: jansson with our limits in front and errors that name the field, plus an append-writer
 * for hot paths. The DOM is jansson's json_t; own it with AUTO_JSON or json_decref. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

static inline void json_auto_(json_t **j)
{
    json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(json_auto_)))

#define JSON_DEPTH_MAX 64u

/* Parses one document (any bytes). Refuses: more than JSON_DEPTH_MAX levels (checked before
 * jansson recurses), duplicate keys, NUL in strings, trailing bytes, bad UTF-8. NULL with *e:
 * "not valid JSON: line 1 column 7: ..." and EINVAL. Returns owned. */
json_t *json_parse(struct str text, struct err *e);

/* Typed getters on an object. null counts as absent. Each returns 1 and writes *out if the
 * field is there, 0 if it is absent (*out untouched), or -EINVAL with *e "field 'timeout' must
 * be an integer between 0 and 86400, got a string". */
int json_get_str(const json_t *obj, const char *field, size_t max_bytes, const char **out,
                 struct err *e);
int json_get_i64(const json_t *obj, const char *field, int64_t min, int64_t max, int64_t *out,
                 struct err *e);
int json_get_bool(const json_t *obj, const char *field, bool *out, struct err *e);
/* These borrow from obj. */
int json_get_obj(const json_t *obj, const char *field, json_t **out, struct err *e);
int json_get_array(const json_t *obj, const char *field, json_t **out, struct err *e);
/* An object whose values are all strings ({"A":"1"}): at most max_pairs, keys and values at
 * most max_bytes each. */
int json_get_str_map(const json_t *obj, const char *field, size_t max_pairs, size_t max_bytes,
                     json_t **out, struct err *e);

/* Appends s as a JSON string with quotes. Invalid UTF-8 becomes U+FFFD, so the output is always
 * valid JSON. */
void json_write_str(struct buf *out, struct str s);
/* Appends the document, compact. False if out of memory or over out's max (which then has
 * failed). */
bool json_write(struct buf *out, const json_t *j);
