/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/auth: API keys. A key is right if the SHA-256 of what was sent equals one that is stored; all are compared, in
 * constant time. Failures are limited per source address (IPv6: per /64): a right key is never refused, however many wrong
 * ones its neighbours send. Threads: safe. */
#pragma once
#include <stdint.h>

#include "base/err.h"
#include "codec/http1.h"
#include "e2b-sandbox/registry.h"

struct auth;

/* Loads the keys. */
int auth_new(struct auth **out, struct registry *r, struct err *e);
void auth_free(struct auth *a);
size_t auth_key_count(const struct auth *a);

enum auth_verdict { AUTH_OK, AUTH_MISSING, AUTH_WRONG, AUTH_THROTTLED };

/* Judges X-API-Key, or X-E2B-API-Key if that one is absent. `peer` as http_peer gives it. */
enum auth_verdict auth_check(struct auth *a, const struct http1_head *head, const char *peer,
                             uint64_t mono_ns);
