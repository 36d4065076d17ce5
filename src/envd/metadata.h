/* SPDX-License-Identifier: Apache-2.0 */
/* metadata: what clients attach to files with X-Metadata-<key> headers, kept as extended attributes user.e2b.<key>, visible inside.
 * A file system without such attributes (tmpfs before Linux 6.6) loses them silently, as copying to one would. */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "codec/http1.h"

#define METADATA_KEY_MAX                                                                       \
    246u /* bytes of a key: with the prefix, the kernel's limit of a name */
#define METADATA_TOTAL_MAX 4096u /* of all prefixes, keys and values of one request */

/* The metadata of an upload as {"key":"value"}, possibly empty; keys in lower case. NULL with *e (EINVAL): "invalid metadata: ...". */
json_t *metadata_from_head(const struct http1_head *head, struct err *e);
/* Replaces all metadata of an open file by this set. Failures other than lack of support: -errno. */
int metadata_replace(int fd, json_t *set);
/* The metadata of a path (links are not followed), as {"key":"value"}; NULL if it has none. Owned by the caller. */
json_t *metadata_read(const char *path);
