/* SPDX-License-Identifier: Apache-2.0 */
/* auth/caps: what a credential may do, and what a sandbox that it made may be used for. Pure; plain values.
 *
 * The names are those of the seed (R47): execute:<language>, network:egress, desktop:access, surf:start, spell:execute,
 * artifact:upload, admin. Names are compared whole: "execute:*" is no name. `all` is a credential without a scope: every one of
 * them but admin, which must be said. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define CAPS_LANGUAGES_MAX 16u
#define CAPS_LANGUAGE_MAX  31u  /* bytes of [a-z0-9+#._-], the first a letter */
#define CAPS_TEXT_MAX      768u /* bytes of the longest text form, with room to spare */

enum cap {
    CAP_NETWORK_EGRESS = 1,
    CAP_DESKTOP_ACCESS = 2,
    CAP_SURF_START = 4,
    CAP_SPELL_EXECUTE = 8,
    CAP_ARTIFACT_UPLOAD = 16,
    CAP_ADMIN = 32
};

struct caps {
    bool all;
    unsigned set; /* of enum cap */
    unsigned n_languages;
    char language[CAPS_LANGUAGES_MAX][CAPS_LANGUAGE_MAX + 1];
};

/* Adds the capability of that name. 1: it was added or there; 0: there is none of that name; -ENOSPC: too many languages. */
int caps_add(struct caps *c, struct str name);
bool caps_have(const struct caps *c, enum cap one);
bool caps_may_execute(const struct caps *c, struct str language);
bool caps_may_execute_anything(const struct caps *c);
/* Has `a` all that `b` has? admin does not count: it is about operators' routes, not about sandboxes. */
bool caps_cover(const struct caps *a, const struct caps *b);

/* The names, each with a blank before it but the first; "*" stands for `all`. For storing. */
void caps_write_text(const struct caps *c, struct buf *out);
/* Reads that. -EINVAL for anything that is not of that form, an unknown name included. */
int caps_read_text(struct str text, struct caps *out);
/* The names as a JSON array of strings; `all` is "*". */
void caps_write_json(const struct caps *c, struct buf *out);
