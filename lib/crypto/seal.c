/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include <argon2.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

void seal(const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], struct str aad,
          struct str plain, struct buf *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    unsigned char *to = (unsigned char *)buf_reserve(out, plain.n + SEAL_TAG);
    int n = 0, end = 0;

    ASSERT(c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, bytes_of(aad), (int)aad.n) == 1);
    if (to) { /* else out has failed, and says so */
        ASSERT(EVP_EncryptUpdate(c, to, &n, bytes_of(plain), (int)plain.n) == 1 &&
               EVP_EncryptFinal_ex(c, to + n, &end) == 1 && (size_t)n == plain.n &&
               EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SEAL_TAG, to + n) == 1);
        out->n += plain.n + SEAL_TAG;
        buf_truncate(out, out->n); /* ends with a NUL again */
    }
    EVP_CIPHER_CTX_free(c);
}

bool unseal(const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], struct str aad,
            struct str sealed, struct buf *out)
{
    uint8_t tag[SEAL_TAG];
    int n = 0, end = 0;

    if (sealed.n < SEAL_TAG || sealed.n > (1u << 20))
        return false;
    struct str text = str_sub(sealed, 0, sealed.n - SEAL_TAG);
    memcpy(tag, sealed.p + text.n, SEAL_TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    unsigned char *to = (unsigned char *)buf_reserve(out, text.n + 1);
    ASSERT(c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, bytes_of(aad), (int)aad.n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SEAL_TAG, tag) == 1);
    bool ok = to && EVP_DecryptUpdate(c, to, &n, bytes_of(text), (int)text.n) == 1 &&
              EVP_DecryptFinal_ex(c, to + n, &end) == 1;
    EVP_CIPHER_CTX_free(c);
    if (ok) {
        out->n += text.n;
        buf_truncate(out, out->n);
    } else if (to)
        explicit_bzero(to, text.n);
    return ok;
}

void hmac_sha256(struct str key, struct str message, uint8_t out[32])
{
    unsigned n = 32;

    ASSERT(
        HMAC(EVP_sha256(), bytes_of(key), (int)key.n, bytes_of(message), message.n, out, &n) &&
        n == 32);
}

void key_by_pbkdf2(struct str passphrase, struct str salt, unsigned rounds,
                   uint8_t out[SEAL_KEY])
{
    ASSERT(PKCS5_PBKDF2_HMAC(passphrase.p ? passphrase.p : "", (int)passphrase.n,
                             bytes_of(salt), (int)salt.n, (int)rounds, EVP_sha256(), SEAL_KEY,
                             out) == 1);
}

void key_by_argon2id(struct str passphrase, struct str salt, unsigned passes, unsigned kib,
                     uint8_t out[SEAL_KEY])
{
    ASSERT(argon2id_hash_raw(passes, kib, 1, passphrase.p, passphrase.n, salt.p, salt.n, out,
                             SEAL_KEY) == ARGON2_OK);
}
