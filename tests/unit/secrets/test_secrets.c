/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of requirements 2.1, and what must not open. */
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
#include "codec/base64.h"
#include "crypto/sha256.h"
#include "secrets/canon.h"
#include "secrets/envelope.h"
#include "secrets/packet.h"

static const char doc_text[] =
    "{\"spec\":\"chit.cgp.v0.1\",\"summary\":\"caf\xc3\xa9\",\"super_nodes\":[{\"id\":\"s\","
    "\"constellations\":[{\"id\":\"c\",\"anchor\":[0.5,-0.25,1.0],\"points\":[]}]}]}";

#define PASS STR("correct horse battery staple")

static const uint8_t salt[ENVELOPE_SALT] = { 0, 1, 2,  3,  4,  5,  6,  7,
                                             8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t iv[SEAL_IV] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
static struct envelope_key key;

static int make(void **state)
{
    (void)state;
    envelope_key_derive(&key, ENVELOPE_PBKDF2, PASS, salt);
    return 0;
}

static void R83_pbkdf2_and_gcm_give_the_vectors(void **state)
{
    (void)state;
    uint8_t k[SEAL_KEY];
    char hex[2 * SEAL_KEY + 1];
    static const char floats[] = "\0\0\0\3\0\0\0\x3f\0\0\x80\xbe\0\0\x80\x3f";
    struct str s = { (const char *)salt, sizeof salt };
    AUTO_BUF struct buf ct = BUF_INIT(64), text = BUF_INIT(64), back = BUF_INIT(64);

    key_by_pbkdf2(STR("test-pass"), s, 100000, k);
    hex_encode(k, sizeof k, hex);
    assert_string_equal(hex,
                        "fc870efa2ecf82f10ed215e1fa0b2eeb1a49150cd539ca1d9dfc0e82faea2047");
    key_by_pbkdf2(STR("test-pass"), s, 600000, k);
    hex_encode(k, sizeof k, hex);
    assert_string_equal(hex,
                        "0b9cdc47a66faaee0f13561044e8b79cac18fc1c572359d7a0b424435d3039ae");
    seal(k, iv, STR("{\"id\":\"c\"}"), (struct str){ floats, 16 }, &ct);
    base64_encode(ct.p, ct.n, &text);
    assert_string_equal(buf_cstr(&text), "M63kybLX5baxmFKI0Xw7+5k7OzTM5EdMzjBgneVRVrQ=");
    assert_true(unseal(k, iv, STR("{\"id\":\"c\"}"), buf_str(&ct), &back));
    assert_int_equal(back.n, 16);
    assert_false(unseal(k, iv, STR("{\"id\":\"d\"}"), buf_str(&ct), &back));
}

static void the_canonical_form_and_its_hmac_give_the_vectors(void **state)
{
    (void)state;
    struct err e;
    AUTO_JSON json_t *doc = json_parse(str_from(doc_text), &e);
    AUTO_BUF struct buf b = BUF_INIT(4096);
    char hex[SHA256_HEX + 1];

    assert_true(canon_write(&b, doc, "sig"));
    assert_string_equal(
        buf_cstr(&b),
        "{\"spec\":\"chit.cgp.v0.1\",\"summary\":\"caf\\u00e9\",\"super_nodes\":[{"
        "\"constellations\":"
        "[{\"anchor\":[0.5,-0.25,1.0],\"id\":\"c\",\"points\":[]}],\"id\":\"s\"}]}");
    struct sha256 d = sha256_of(buf_str(&b));
    sha256_to_hex(&d, hex);
    hex[16] = 0;
    assert_string_equal(hex, "dd548303ca3e6da1");
    assert_int_equal(canon_sign(doc, STR("test-pass"), "661ea2edce1d4894"), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "sig"), "hmac")),
                        "6I7X/AGCJOVVj2oDDJxqzGSc7SRL49xf17u38BmAJKU=");
    assert_true(canon_verify(doc, STR("test-pass")));
    assert_false(canon_verify(doc, STR("test-pasS")));
    (void)json_object_set_new(doc, "summary", json_string("cafe"));
    assert_false(canon_verify(doc, STR("test-pass")));
}

/* C50: SHA-256 of passphrase and document is no signature. */
static void C50_what_the_gateway_calls_hmac_is_refused(void **state)
{
    (void)state;
    struct err e;
    AUTO_JSON json_t *doc = json_parse(str_from(doc_text), &e);

    (void)json_object_set_new(doc, "sig",
                              json_pack("{s:s,s:s,s:s}", "alg", "HMAC-SHA256", "kid", "demo",
                                        "hmac",
                                        "sNpEB+rTSlD/bWO7DSHa7wvJwyji0+vh7TsqRK7iYIc="));
    assert_false(canon_verify(doc, STR("test-pass")));
}

static void numbers_are_written_as_python_writes_them(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "[1,1.0,-0.0,0.1,100.0]", "[1,1.0,-0.0,0.1,100.0]" },
        { "[1e16,1e15,123456789012345680.0]",
          "[1e+16,1000000000000000.0,1.2345678901234568e+17]" },
        { "[0.0001,0.00001,1e-7,5e-324]", "[0.0001,1e-05,1e-07,5e-324]" },
        { "[1.7976931348623157e308,2.5e-5]", "[1.7976931348623157e+308,2.5e-05]" },
        { "[\"\\u007f\\ud83d\\ude00\\n\\u0001\"]", "[\"\x7f\\ud83d\\ude00\\n\\u0001\"]" },
    };
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        AUTO_JSON json_t *j = json_parse(str_from(pairs[i][0]), &e);
        AUTO_BUF struct buf b = BUF_INIT(1024);
        assert_non_null(j);
        assert_true(canon_write(&b, j, NULL));
        assert_string_equal(buf_cstr(&b), pairs[i][1]);
    }
}

static void sealed(struct str name, struct str value, struct buf *out)
{
    envelope_seal(&key, iv, name, value, out);
    assert_true(buf_ok(out));
}

static void R83_R84_what_is_sealed_opens_with_and_without_the_prefix(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = BUF_INIT(4096), value = BUF_INIT(4096);
    struct envelope_key k = key;
    struct err e;

    sealed(STR("E2B_API_KEY"), STR("value"), &text);
    assert_true(str_starts(buf_str(&text), STR("chit:encrypt:v1.")));
    assert_int_equal(envelope_open(&k, PASS, STR("E2B_API_KEY"), buf_str(&text), &value, &e),
                     0);
    assert_string_equal(buf_cstr(&value), "value");
    buf_clear(&value);
    struct str bare = str_sub(buf_str(&text), sizeof ENVELOPE_PREFIX - 1, text.n);
    assert_int_equal(envelope_open(&k, PASS, STR("E2B_API_KEY"), bare, &value, &e), 0);
    assert_string_equal(buf_cstr(&value), "value");
}

static void R91_S07_any_change_of_text_name_or_passphrase_fails(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = BUF_INIT(4096), value = BUF_INIT(4096);
    struct envelope_key k = key;
    struct err e;

    sealed(STR("E2B_API_KEY"), STR("value"), &text);
    assert_int_equal(envelope_open(&k, PASS, STR("E2B_API_KEX"), buf_str(&text), &value, &e),
                     -EBADMSG);
    /* The salt is looked at by the two cases after the loop: each change of it costs a derivation. */
    struct str left = buf_str(&text), word;
    size_t skip_from = 0, skip_to = 0;
    for (int dots = 0; str_cut(left, '.', &word, &left); dots++)
        if (dots == 2) {
            skip_from = (size_t)(word.p - text.p);
            skip_to = skip_from + word.n;
        }
    for (size_t i = 0; i < text.n; i++)
        for (int bit = 0; bit < 8 && (i < skip_from || i >= skip_to); bit++) {
            if (i == sizeof ENVELOPE_PREFIX && (bit == 0 || bit == 1))
                continue; /* v1 to v2 or v3: another derivation, below */
            text.p[i] ^= (char)(1 << bit);
            assert_true(
                envelope_open(&k, PASS, STR("E2B_API_KEY"), buf_str(&text), &value, &e) < 0);
            assert_int_equal(value.n, 0);
            text.p[i] ^= (char)(1 << bit);
        }
    for (size_t n = 0; n < text.n; n++)
        if (n < skip_from || n > skip_to + 1)
            assert_true(envelope_open(&k, PASS, STR("E2B_API_KEY"),
                                      str_sub(buf_str(&text), 0, n), &value, &e) < 0);
    text.p[skip_from] = text.p[skip_from] == 'A' ? 'B' : 'A';
    assert_int_equal(envelope_open(&k, PASS, STR("E2B_API_KEY"), buf_str(&text), &value, &e),
                     -EBADMSG);
    text.p[skip_from] = 'A';
    struct envelope_key none = { 0 };
    assert_int_equal(envelope_open(&none, STR("another passphrase"), STR("E2B_API_KEY"),
                                   buf_str(&text), &value, &e),
                     -EBADMSG);
    assert_null(strstr(e.text, "passphrase passphrase"));
}

static void argon2id_is_a_version_of_its_own(void **state)
{
    (void)state;
    AUTO_ENVELOPE_KEY struct envelope_key a = { 0 }, b = { 0 };
    AUTO_BUF struct buf text = BUF_INIT(4096), value = BUF_INIT(4096);
    struct err e;

    envelope_key_derive(&a, ENVELOPE_ARGON2ID, PASS, salt);
    envelope_seal(&a, iv, STR("A"), STR("value"), &text);
    assert_true(str_starts(buf_str(&text), STR("chit:encrypt:v2.")));
    assert_int_equal(envelope_open(&b, PASS, STR("A"), buf_str(&text), &value, &e), 0);
    assert_string_equal(buf_cstr(&value), "value");
    text.p[sizeof ENVELOPE_PREFIX] = '1';
    assert_int_equal(envelope_open(&b, PASS, STR("A"), buf_str(&text), &value, &e), -EBADMSG);
}

static void passphrases_that_are_none_are_refused(void **state)
{
    (void)state;
    struct err e;

    assert_int_equal(envelope_check_passphrase(PASS, &e), 0);
    assert_int_equal(envelope_check_passphrase(STR(""), &e), -EINVAL);
    assert_int_equal(envelope_check_passphrase(STR("fifteen bytes.."), &e), -EINVAL);
    assert_int_equal(envelope_check_passphrase(STR("change-me-please-now"), &e), -EINVAL);
    assert_int_equal(envelope_check_passphrase(STR("your_passphrase_goes_here"), &e), -EINVAL);
    assert_int_equal(envelope_check_passphrase(STR("two lines\nof a passphrase"), &e), -EINVAL);
}

/* --- packets --- */

static char got[512];

static int note(void *arg, const char *name, struct str value, enum packet_how how)
{
    size_t n = strlen(got);
    (void)arg;
    (void)snprintf(got + n, sizeof got - n, "%s=%.*s(%d) ", name, (int)value.n, value.p,
                   (int)how);
    return 0;
}

static int read_packet(const char *text, bool plain_is_fine, unsigned *n_plain, struct err *e)
{
    struct packet_reader r = {
        .passphrase = PASS, .key = key, .plain_is_fine = plain_is_fine, .fn = note
    };
    AUTO_JSON json_t *doc = json_parse(str_from(text), e);

    assert_non_null(doc);
    got[0] = 0;
    int rc = packet_read(&r, doc, e);
    *n_plain = r.n_plain;
    return rc;
}

#define V01(points)                                                                            \
    ("{\"spec\":\"chit.cgp.v0.1\",\"super_nodes\":[{\"id\":\"n\",\"constellations\":[" points  \
     "]}]}")
#define ENTRY(name, what)                                                                      \
    "{\"id\":\"x\",\"label\":\"" name "\",\"points\":[{\"id\":\"y\"," what "}]}"

static void packets_of_each_kind_are_read(void **state)
{
    (void)state;
    unsigned n;
    struct err e = { 0 };

    assert_int_equal(
        read_packet(V01(ENTRY("A", "\"text\":\"clear\"") "," ENTRY(
                        "B", "\"text_b64\":\"aGk=\"") "," ENTRY("C", "\"text_b64\":\"6869f\"")),
                    true, &n, &e),
        -EINVAL); /* neither base64 nor hexadecimal: nothing is skipped */
    assert_int_equal(read_packet(V01(ENTRY("A", "\"text\":\"clear\"") "," ENTRY(
                                     "B", "\"text_b64\":\"aGk=\"")),
                                 true, &n, &e),
                     2);
    assert_string_equal(got, "A=clear(1) B=hi(2) ");
    assert_int_equal(n, 2);
    assert_int_equal(
        read_packet("{\"version\":\"chit.cgp.v1.0\",\"points\":[{\"label\":\"A\",\"value\":"
                    "\"6869\",\"encoding\":\"hex\"},"
                    "{\"label\":\"B\",\"value\":\"x\",\"encoding\":\"cleartext\"}]}",
                    true, &n, &e),
        2);
    assert_string_equal(got, "A=hi(3) B=x(1) ");
    assert_int_equal(
        read_packet("{\"spec\":\"chit.cgp.v0.2\",\"super_nodes\":[{\"constellations\":[" ENTRY(
                        "A", "\"text\":\"x\"") "]}]}",
                    true, &n, &e),
        1);
}

static void R50_plain_is_refused_in_production_and_named_without_its_value(void **state)
{
    (void)state;
    unsigned n;
    struct err e = { 0 };

    assert_int_equal(
        read_packet(V01(ENTRY("E2B_API_KEY", "\"text\":\"hunter2\"")), false, &n, &e), -EPERM);
    assert_non_null(strstr(e.text, "E2B_API_KEY"));
    assert_null(strstr(e.text, "hunter2"));
    assert_string_equal(got, "");
}

static void encrypted_points_open_under_their_name_only(void **state)
{
    (void)state;
    unsigned n;
    struct err e = { 0 };
    char packet[1024];
    AUTO_BUF struct buf text = BUF_INIT(512);

    sealed(STR("A"), STR("value"), &text);
    (void)snprintf(packet, sizeof packet, V01(ENTRY("A", "\"text_enc\":\"%s\"")),
                   buf_cstr(&text));
    assert_int_equal(read_packet(packet, false, &n, &e), 1);
    assert_string_equal(got, "A=value(0) ");
    assert_int_equal(n, 0);
    (void)snprintf(packet, sizeof packet, V01(ENTRY("B", "\"text_enc\":\"%s\"")),
                   buf_cstr(&text));
    assert_int_equal(read_packet(packet, false, &n, &e), -EBADMSG);
}

static void what_is_no_packet_is_refused(void **state)
{
    (void)state;
    static const char *const no[] = { "{}",
                                      "[]",
                                      "{\"spec\":\"chit.cgp.v0.3\"}",
                                      "{\"spec\":\"chit.cgp.v0.1\"}",
                                      "{\"spec\":\"chit.cgp.v0.1\",\"super_nodes\":[]}",
                                      V01("{\"points\":[{\"text\":\"x\"}]}"),
                                      V01(ENTRY("not a name", "\"text\":\"x\"")),
                                      V01("{\"label\":\"A\",\"points\":[]}"),
                                      V01(ENTRY("A", "\"text\":1")),
                                      "{\"version\":\"chit.cgp.v1.0\",\"points\":[{\"label\":"
                                      "\"A\",\"value\":\"x\",\"encoding\":\"rot13\"}]}" };
    unsigned n;
    struct err e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_int_equal(read_packet(no[i], true, &n, &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R83_pbkdf2_and_gcm_give_the_vectors),
        cmocka_unit_test(the_canonical_form_and_its_hmac_give_the_vectors),
        cmocka_unit_test(C50_what_the_gateway_calls_hmac_is_refused),
        cmocka_unit_test(numbers_are_written_as_python_writes_them),
        cmocka_unit_test(R83_R84_what_is_sealed_opens_with_and_without_the_prefix),
        cmocka_unit_test(R91_S07_any_change_of_text_name_or_passphrase_fails),
        cmocka_unit_test(argon2id_is_a_version_of_its_own),
        cmocka_unit_test(passphrases_that_are_none_are_refused),
        cmocka_unit_test(packets_of_each_kind_are_read),
        cmocka_unit_test(R50_plain_is_refused_in_production_and_named_without_its_value),
        cmocka_unit_test(encrypted_points_open_under_their_name_only),
        cmocka_unit_test(what_is_no_packet_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make, NULL);
}
