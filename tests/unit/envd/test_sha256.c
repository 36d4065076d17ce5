/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "envd/sha256.h"

static void assert_digest(const char *text, size_t repeat, const char *want)
{
    struct sha256 h;
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];

    sha256_init(&h);
    for (size_t i = 0; i < repeat; i++)
        sha256_add(&h, text, strlen(text));
    sha256_done(&h, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, want);
}

static void vectors_of_fips_180_4_hold(void **state)
{
    (void)state;
    assert_digest("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_digest("aaaaaaaaaa", 100000,
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void every_length_around_a_block_pads_as_in_one_piece(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'x', sizeof text);

    for (size_t n = 50; n < 140; n++) {
        uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES];
        struct sha256 h;
        sha256_init(&h);
        sha256_add(&h, text, n);
        sha256_done(&h, whole);
        sha256_init(&h);
        for (size_t i = 0; i < n; i++)
            sha256_add(&h, text + i, 1);
        sha256_done(&h, pieces);
        assert_memory_equal(whole, pieces, SHA256_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_fips_180_4_hold),
        cmocka_unit_test(every_length_around_a_block_pads_as_in_one_piece),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
