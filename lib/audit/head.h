/* SPDX-License-Identifier: Apache-2.0 */
/* head: a signed statement of where each stream stood, one line of JSON:
 *
 *   {"timestamp":"...","streams":[{"job":"e2b-sandbox","retention":"90d","first_seq":1,"first_prev":"...","seq":7,"hash":"..."}],
 *    "key":"...","sig":"..."}
 *
 * `key` is the public key and `sig` the Ed25519 signature over everything before ,"sig": (hexadecimal). Streams in ascending order, those
 * without a record left out. One way to write it, and reading takes no other. Pure. */
#pragma once
#include "audit/chain.h"
#include "audit/segment.h"
#include "crypto/ed25519.h"

#define AUDIT_HEAD_MAX 8192u

struct audit_head {
    uint64_t real_ns;                         /* milliseconds of it count */
    struct audit_point stream[AUDIT_STREAMS]; /* seq 0: not named. real_ns is the head's */
    uint8_t key[ED25519_KEY];
};

/* Appends it, signed, without a line feed; h->key is filled in. */
int audit_head_write(struct audit_head *h, const uint8_t seed[ED25519_SEED], struct buf *out);
/* 0; -EINVAL for what audit_head_write would not have written; -EBADMSG if the signature is not that of the key that it
 * names. Whose key that is, the caller must know. */
int audit_head_read(struct str text, struct audit_head *out);
