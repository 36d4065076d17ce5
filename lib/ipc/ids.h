/* SPDX-License-Identifier: Apache-2.0 */
/* ids: the fixed-size names that cross process borders. Plain values. */
#pragma once
#include <stdint.h>

/* A sandbox id as E2B writes it: 'i' and 19 characters of [a-z0-9] (98 random bits),
 * NUL-terminated. It names the cgroup, the state directory and the host part of {port}-{id}
 * URLs, so the alphabet is checked at every border. */
#define SANDBOX_ID_LEN 20u
struct sandbox_id {
    char text[SANDBOX_ID_LEN + 4]; /* NUL-padded to 24 bytes, all of them compared */
};
/* SHA-256 of a template image file: the only name under which the warden knows one. */
struct image_digest {
    uint8_t byte[32];
};
_Static_assert(sizeof(struct sandbox_id) == 24 && sizeof(struct image_digest) == 32,
               "wire sizes");
