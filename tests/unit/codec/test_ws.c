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
#include "codec/ws.h"

static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

static void assert_refuses(struct str bytes, bool from_client, uint64_t max, unsigned want)
{
    struct ws_frame f = { .length = 77 };
    unsigned code = 0;

    assert_int_equal(ws_parse_header(bytes.p, bytes.n, from_client, max, &f, &code), -1);
    assert_int_equal(code, want);
    assert_true(f.length == 77);
}

static void examples_of_rfc_6455_are_written_and_read(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(1000);
    struct ws_frame f;
    unsigned code;

    ws_write(&b, true, WS_TEXT, NULL, STR("Hello"));
    assert_true(str_eq(buf_str(&b), STR("\x81\x05Hello")));
    assert_int_equal(ws_parse_header(b.p, b.n, false, 5, &f, &code), 2);
    assert_true(f.fin);
    assert_false(f.masked);
    assert_int_equal(f.opcode, WS_TEXT);
    assert_true(f.length == 5);
    buf_clear(&b);
    ws_write(&b, true, WS_TEXT, mask, STR("Hello"));
    assert_true(str_eq(buf_str(&b), STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")));
    assert_int_equal(ws_parse_header(b.p, b.n, true, 5, &f, &code), 6);
    assert_true(f.masked);
    assert_memory_equal(f.mask, mask, 4);
    buf_clear(&b);
    ws_write(&b, false, WS_TEXT, NULL, STR("Hel"));
    ws_write(&b, true, WS_CONTINUATION, NULL, STR("lo"));
    assert_true(str_eq(buf_str(&b), STR("\x01\x03Hel\x80\x02lo")));
    buf_clear(&b);
    ws_write(&b, true, WS_PING, NULL, STR("Hello"));
    assert_true(str_eq(buf_str(&b), STR("\x89\x05Hello")));
}

static void length_takes_the_shortest_form_and_no_other_is_read(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        int header;
    } c[] = { { 0, 2 }, { 125, 2 }, { 126, 4 }, { 65535, 4 }, { 65536, 10 }, { 100000, 10 } };
    static char zeros[100000];

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        AUTO_BUF struct buf b = BUF_INIT(200000);
        struct ws_frame f;
        unsigned code;
        ws_write(&b, true, WS_BINARY, NULL, (struct str){ zeros, c[i].length });
        assert_int_equal(b.n, c[i].length + (size_t)c[i].header);
        assert_int_equal(ws_parse_header(b.p, b.n, false, c[i].length, &f, &code), c[i].header);
        assert_true(f.length == c[i].length);
    }
    assert_refuses(STR("\x82\x7e\0\x7d"), false, 1000, 1002);
    assert_refuses(STR("\x82\x7f\0\0\0\0\0\0\xff\xff"), false, 1 << 20, 1002);
}

static void half_a_header_waits_for_the_rest(void **state)
{
    (void)state;
    static const char whole[] = "\x82\xff\0\0\0\0\0\x01\0\0"
                                "mask";
    struct ws_frame f;
    unsigned code;

    for (size_t n = 0; n < 14; n++)
        assert_int_equal(ws_parse_header(whole, n, true, 1 << 20, &f, &code), 0);
    assert_int_equal(ws_parse_header(whole, 14, true, 1 << 20, &f, &code), 14);
    assert_true(f.length == 65536);
}

static void protocol_errors_close_with_1002(void **state)
{
    (void)state;
    assert_refuses(STR("\xc1"), true, 100, 1002); /* reserved bits */
    assert_refuses(STR("\xa1"), true, 100, 1002);
    assert_refuses(STR("\x91"), true, 100, 1002);
    assert_refuses(STR("\x83"), true, 100, 1002); /* reserved opcodes */
    assert_refuses(STR("\x87"), true, 100, 1002);
    assert_refuses(STR("\x8b"), true, 100, 1002);
    assert_refuses(STR("\x8f"), true, 100, 1002);
    assert_refuses(STR("\x09"), true, 100, 1002); /* a fragmented control frame */
    assert_refuses(STR("\x08"), true, 100, 1002);
    assert_refuses(STR("\x89\xfe"), true, 1000, 1002); /* one over 125 bytes */
    assert_refuses(STR("\x81\x05"), true, 100, 1002);  /* unmasked from a client */
    assert_refuses(STR("\x81\x85"), false, 100, 1002); /* masked from a server */
    assert_refuses(STR("\x82\x7f\x80\0\0\0\0\0\0\0"), false, UINT64_MAX, 1002);
}

static void frame_over_the_limit_closes_with_1009_before_its_bytes_arrive(void **state)
{
    (void)state;
    assert_refuses(STR("\x82\x05"), false, 4, 1009);
    assert_refuses(STR("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), false, 1 << 20, 1009);
}

static void masking_in_pieces_equals_masking_at_once(void **state)
{
    (void)state;
    unsigned char once[37], pieces[37];

    for (size_t first = 0; first <= sizeof once; first++) {
        for (size_t i = 0; i < sizeof once; i++)
            once[i] = pieces[i] = (unsigned char)(i * 7);
        ws_mask(once, sizeof once, mask, 0);
        ws_mask(pieces, first, mask, 0);
        ws_mask(pieces + first, sizeof pieces - first, mask, first);
        assert_memory_equal(once, pieces, sizeof once);
        for (size_t i = 0; i < sizeof once; i++)
            assert_int_equal(once[i], (unsigned char)(i * 7) ^ mask[i & 3]);
    }
}

static void frame_that_does_not_fit_fails_the_buffer(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(8);

    ws_write(&b, true, WS_TEXT, mask, STR("Hello"));
    assert_false(buf_ok(&b));
}

static void accept_is_that_of_rfc_6455(void **state)
{
    (void)state;
    char out[29];

    assert_int_equal(ws_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), out), 0);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(ws_accept(STR("x3JJHMbDL1EzLkh9GBhXDw=="), out), 0);
    assert_string_equal(out, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static void key_that_is_not_16_bytes_of_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "dGhlIHNhbXBsZSBub25jZQ",
                                       "dGhlIHNhbXBsZSBub25jZQ=",
                                       "dGhlIHNhbXBsZSBub25jZWU=",
                                       "dGhlIHNhbXBsZSBub25jZWVl",
                                       "dGhlIHNhbXBsZSBub25jZQ== ",
                                       "dGhlIHNhbXBsZSBub25j!Q==" };
    char out[29] = "untouched";

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ws_accept(str_from(bad[i]), out), -EINVAL);
    assert_string_equal(out, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_rfc_6455_are_written_and_read),
        cmocka_unit_test(length_takes_the_shortest_form_and_no_other_is_read),
        cmocka_unit_test(half_a_header_waits_for_the_rest),
        cmocka_unit_test(protocol_errors_close_with_1002),
        cmocka_unit_test(frame_over_the_limit_closes_with_1009_before_its_bytes_arrive),
        cmocka_unit_test(masking_in_pieces_equals_masking_at_once),
        cmocka_unit_test(frame_that_does_not_fit_fails_the_buffer),
        cmocka_unit_test(accept_is_that_of_rfc_6455),
        cmocka_unit_test(key_that_is_not_16_bytes_of_base64_is_refused),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
