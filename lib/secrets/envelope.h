/* SPDX-License-Identifier: Apache-2.0 */
/* envelope: an encrypted value as text (requirements 2.1):
 *
 *   chit:encrypt:v1.KID.SALT.IV.CT
 *
 * base64url without padding; SALT 16 bytes, IV 12, CT ends with the 16-byte tag; AES-256-GCM with {"id":"NAME"} as associated data, so that a value
 * opens under the name of its variable only. The version says how the key comes from the passphrase, so that nobody who writes an envelope chooses how
 * hard that is: v1 is PBKDF2-HMAC-SHA256 with 600,000 rounds, v2 Argon2id with 3 passes over 64 MiB. KID is 16 hexadecimal digits of
 * HMAC-SHA256(key, "chit-kid"): it says which passphrase, and helps nobody to guess it faster than opening would. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/seal.h"

#define ENVELOPE_PREFIX    "chit:encrypt:"
#define ENVELOPE_VALUE_MAX 65536u /* bytes of a value */
#define ENVELOPE_SALT      16u
#define ENVELOPE_KID       16u

enum envelope_kdf { ENVELOPE_PBKDF2 = 1, ENVELOPE_ARGON2ID = 2 };

/* A key, derived once for all values of one salt. Wipe it with envelope_key_fini. */
struct envelope_key {
    uint8_t key[SEAL_KEY];
    uint8_t salt[ENVELOPE_SALT];
    enum envelope_kdf kdf;
    char kid[ENVELOPE_KID + 1];
    bool is_set;
};
void envelope_key_derive(struct envelope_key *k, enum envelope_kdf kdf, struct str passphrase,
                         const uint8_t salt[ENVELOPE_SALT]);
void envelope_key_fini(struct envelope_key *k);
#define AUTO_ENVELOPE_KEY __attribute__((cleanup(envelope_key_fini)))

/* A passphrase that may be used: 16 to 1024 bytes without a line feed, and not a placeholder ("change-me..."). 0 or -EINVAL with *e, which never
 * has any of it. */
int envelope_check_passphrase(struct str passphrase, struct err *e);
/* [A-Za-z_][A-Za-z0-9_]{0,127}: a name of a variable. */
bool envelope_name_ok(struct str name);

/* Appends the text for a value, with this iv (random, never twice with one key). */
void envelope_seal(const struct envelope_key *k, const uint8_t iv[SEAL_IV], struct str name,
                   struct str value, struct buf *out);

/* What an envelope says before it is opened. */
struct envelope {
    enum envelope_kdf kdf;
    char kid[ENVELOPE_KID + 1];
    uint8_t salt[ENVELOPE_SALT], iv[SEAL_IV];
    struct str sealed_text; /* borrowed, base64url */
};
bool envelope_is(struct str text); /* begins as one */
/* With or without the prefix. 0 or -EINVAL. */
int envelope_parse(struct str text, struct envelope *out);
/* Appends the value of the variable `name`. *k is derived again if its salt or kind is another one. -EINVAL: no envelope; -EBADMSG: not of this passphrase
 * and name, or changed. */
int envelope_open(struct envelope_key *k, struct str passphrase, struct str name,
                  struct str text, struct buf *out, struct err *e);
