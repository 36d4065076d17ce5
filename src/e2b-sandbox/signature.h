/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/signature: the signature of a file URL (e2b-wire 3.2), which depends on the sandbox's token: with all servers behind one
 * address it is what tells whose file is meant. Pure. */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct file_signature {
    struct buf text;       /* what is signed, up to and without the token: path:op:user: */
    struct buf expiration; /* ":seconds", or empty */
    struct buf given;      /* "v1_..." */
};
void signature_fini(struct file_signature *s);
#define AUTO_FILE_SIGNATURE __attribute__((cleanup(signature_fini)))

/* True if this is GET, HEAD or POST /files with a signature. */
bool signature_read(struct str method, struct str path, struct str query,
                    struct file_signature *out);
/* Was it made with this token? Constant time in the signature. */
bool signature_is_by(const struct file_signature *s, struct str token);
