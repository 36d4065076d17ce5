/* SPDX-License-Identifier: Apache-2.0 */
/* settings: what POST /init told us: the access token, the sandbox-wide environment and the defaults. One lock inside; every
 * function may be called from any thread. Values are handed out as copies. */
#pragma once
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "envd/paths.h"
#include "envd/users.h"

#define SETTINGS_TOKEN_MAX 512u
#define SETTINGS_ENV_PAIRS 1024u
#define SETTINGS_ENV_BYTES                                                                     \
    131072u /* of one key or value: the kernel's own limit of one string of execve */

struct settings {
    pthread_mutex_t lock; /* guards all below */
    char token[SETTINGS_TOKEN_MAX + 1];
    char default_user[USER_NAME_MAX];
    char default_workdir[PATHS_MAX];
    json_t *env; /* owned: an object of strings */
};

int settings_init(struct settings *s); /* 0 or -ENOMEM */
void settings_fini(struct settings *s);

/* Merges the fields of a body of POST /init. All or nothing: 0; -EACCES if a token is set and `given` is another; -EINVAL with *e
 * saying which field is wrong and why; -ENOMEM. */
int settings_update(struct settings *s, const json_t *body, struct str given, struct err *e);

/* Sets those of `env` (an object of strings) that nobody has set. 0 or -ENOMEM. */
int settings_default_env(struct settings *s, json_t *env);

/* Is a token set, and is `given` equal to it? Constant time in the length of the given one. */
bool settings_has_token(struct settings *s);
bool settings_token_is(struct settings *s, struct str given);
/* Copies the token into out; "" if none is set. The caller wipes it. */
void settings_token(struct settings *s, char out[SETTINGS_TOKEN_MAX + 1]);

void settings_default_user(struct settings *s, char out[USER_NAME_MAX]);
void settings_default_workdir(struct settings *s, char out[PATHS_MAX]);
json_t *
settings_env(struct settings *s); /* a copy, owned by the caller; NULL when out of memory */

/* What a sandbox says of itself: the value of E2B_SANDBOX_ID or E2B_TEMPLATE_ID, "" if it is not known. */
void settings_identity(struct settings *s, const char *name, char out[128]);
