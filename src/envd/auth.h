/* SPDX-License-Identifier: Apache-2.0 */
/* auth: who may ask (spec 3.2): the access token in a header, or for files a signature in the query. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "envd/settings.h"
#include "http/server.h"

#define AUTH_SIGNATURE_MAX 64 /* "v1_", 43 characters, NUL */

/* "v1_" + unpadded base64 of SHA-256 of "path:op:user:token[:expiration]"; expiration is its text, empty for none.
 * 0 or -ENAMETOOLONG (then the parts are longer than any legal request). */
int auth_sign(struct str path, const char *op, struct str user, struct str token,
              struct str expiration, char out[AUTH_SIGNATURE_MAX]);

/* NULL if the request may pass, else the message of its 401. */
const char *auth_check(struct settings *s, struct http_conn *c);
/* The same for /files; op is "read" or "write", now_s unix seconds. */
const char *auth_check_file(struct settings *s, struct http_conn *c, const char *op,
                            uint64_t now_s);
