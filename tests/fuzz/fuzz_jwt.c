/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens. The bytes are taken twice: as a whole token, and as header and payload of one whose signature is right, so that what is
 * behind the signature is reached. What is accepted is within its limits, and is read back as it is signed again. */
#include "auth/digest.h"
#include "auth/jwt.h"
#include "codec/base64.h"

#include "fuzz.h"

#define NOW INT64_C(1767009600)

static const struct jwt_key key[] = {
    { .alg = JWT_HS256,
      .kid = "hs",
      .can_sign = true,
      .secret = "a secret of the fuzzer's",
      .secret_n = 32 },
    { .alg = JWT_EDDSA, .kid = "ed", .public_key = { 9 } },
};

static void check(struct str token)
{
    AUTO_BUF struct buf again = BUF_INIT(JWT_MAX);
    struct jwt t, second;

    if (jwt_check(token, key, 2, NOW, &t) != JWT_OK)
        return;
    FUZZ_CHECK(token.n <= JWT_MAX && t.key == 0);
    FUZZ_CHECK(auth_name_ok(str_from(t.user_id), OWNER_MAX));
    FUZZ_CHECK(t.exp_s > t.iat_s && t.exp_s - t.iat_s <= JWT_LIFE_S);
    FUZZ_CHECK(!t.caps.all);
    jwt_sign(&key[0], &t, &again);
    FUZZ_CHECK(jwt_check(buf_str(&again), key, 2, NOW, &second) == JWT_OK);
    FUZZ_CHECK(caps_cover(&t.caps, &second.caps) && caps_cover(&second.caps, &t.caps));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf token = BUF_INIT(1 << 20);
    struct str in = { (const char *)data, size }, header, payload;

    check(in);
    if (!str_cut(in, '\n', &header, &payload))
        return 0;
    base64url_encode(header.p, header.n, &token);
    buf_add_char(&token, '.');
    base64url_encode(payload.p, payload.n, &token);
    struct digest d =
        digest_hmac((struct str){ (const char *)key[0].secret, 32 }, buf_str(&token));
    buf_add_char(&token, '.');
    base64url_encode(d.byte, sizeof d.byte, &token);
    if (buf_ok(&token))
        check(buf_str(&token));
    return 0;
}
