/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "crypto/ed25519.h"
#include "crypto/sha256.h"

static void sha256_is_that_of_fips_180(void **state)
{
    (void)state;
    char hex[SHA256_HEX + 1];
    struct sha256 d = sha256_of(STR("abc")), back;

    sha256_to_hex(&d, hex);
    assert_string_equal(hex,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(sha256_from_hex(str_from(hex), &back), 0);
    assert_true(sha256_eq(&d, &back));
    hex[0] = 'B';
    assert_int_equal(sha256_from_hex(str_from(hex), &back), -EINVAL);
    assert_int_equal(sha256_from_hex(STR("ba"), &back), -EINVAL);
}

/* RFC 8032, section 7.1, test 2. */
static void ed25519_is_that_of_rfc_8032(void **state)
{
    (void)state;
    uint8_t seed[ED25519_SEED], key[ED25519_KEY], sig[ED25519_SIG];
    char hex[2 * ED25519_SIG + 1];

    assert_int_equal(
        hex_decode(STR("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
                   seed, sizeof seed),
        0);
    ed25519_public(seed, key);
    hex_encode(key, sizeof key, hex);
    assert_string_equal(hex,
                        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    ed25519_sign(seed, STR("r"), sig);
    hex_encode(sig, sizeof sig, hex);
    assert_string_equal(hex,
                        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085a"
                        "c1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_true(ed25519_verify(key, STR("r"), sig));
    assert_false(ed25519_verify(key, STR("s"), sig));
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 1;
        assert_false(ed25519_verify(key, STR("r"), sig));
        sig[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_that_of_fips_180),
        cmocka_unit_test(ed25519_is_that_of_rfc_8032),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
