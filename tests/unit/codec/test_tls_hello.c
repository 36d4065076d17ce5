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
#include "base/buf.h"
#include "codec/ip4.h"
#include "codec/tls_hello.h"

static void add16(struct buf *b, size_t v)
{
    buf_add_char(b, (char)(v >> 8));
    buf_add_char(b, (char)v);
}

static void add_sni(struct buf *b, struct str name)
{
    add16(b, 0);
    add16(b, name.n + 5);
    add16(b, name.n + 3);
    buf_add_char(b, 0);
    add16(b, name.n);
    buf_add_str(b, name);
}

/* A ClientHello with these extensions, as records of at most `cut` bytes. */
static void make_hello(struct buf *out, struct str extensions, size_t cut)
{
    AUTO_BUF struct buf m = BUF_INIT(4096);
    buf_add_cstr(&m, "\3\3RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR");
    buf_add(&m, "\0\0\2\x13\1\1\0", 7);
    add16(&m, extensions.n);
    buf_add_str(&m, extensions);
    AUTO_BUF struct buf all = BUF_INIT(4096);
    buf_add(&all, "\1\0", 2);
    add16(&all, m.n);
    buf_add(&all, m.p, m.n);
    for (size_t at = 0; at < all.n; at += cut) {
        size_t k = all.n - at < cut ? all.n - at : cut;
        buf_add(out, "\x16\3\1", 3);
        add16(out, k);
        buf_add(out, all.p + at, k);
    }
}

static int read_all(const struct buf *b, struct tls_hello *h)
{
    static uint8_t scratch[TLS_HELLO_MAX];
    return tls_hello_read((const uint8_t *)b->p, b->n, scratch, h);
}

static void the_name_is_found_however_it_is_cut(void **state)
{
    (void)state;
    static uint8_t scratch[TLS_HELLO_MAX];
    for (size_t cut = 1; cut < 120; cut++) {
        AUTO_BUF struct buf ext = BUF_INIT(1024), b = BUF_INIT(4096);
        struct tls_hello h;
        add_sni(&ext, STR("www.example.com"));
        make_hello(&b, buf_str(&ext), cut);
        assert_int_equal(read_all(&b, &h), 1);
        assert_string_equal(h.name, "www.example.com");
        assert_false(h.encrypted);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(tls_hello_read((const uint8_t *)b.p, n, scratch, &h), 0);
    }
}

static void a_hello_without_a_name_says_so(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(4096);
    struct tls_hello h;
    make_hello(&b, STR(""), 1000);
    assert_int_equal(read_all(&b, &h), 1);
    assert_string_equal(h.name, "");
}

static void an_encrypted_hello_is_noticed(void **state)
{
    (void)state;
    AUTO_BUF struct buf ext = BUF_INIT(1024), b = BUF_INIT(4096);
    struct tls_hello h;
    add_sni(&ext, STR("public.example"));
    buf_add(&ext, "\xfe\x0d\0\1x", 5);
    make_hello(&b, buf_str(&ext), 1000);
    assert_int_equal(read_all(&b, &h), 1);
    assert_true(h.encrypted);
}

static void two_meanings_are_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf twice = BUF_INIT(1024), nul = BUF_INIT(1024), two = BUF_INIT(1024);
    struct tls_hello h;
    add_sni(&twice, STR("a.example"));
    add_sni(&twice, STR("b.example"));
    add_sni(&nul, STR("a.example\0.b"));
    buf_add(&two, "\0\0\0\x12\0\x10\0\0\5a.com\0\0\5b.com", 22);
    const struct str bad[] = { buf_str(&twice), buf_str(&nul), buf_str(&two),
                               STR("\0\0\0\2\0\0"), STR("\0\0\0\xff") };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_BUF struct buf b = BUF_INIT(4096);
        make_hello(&b, bad[i], 1000);
        if (read_all(&b, &h) != -EPROTO)
            fail_msg("row %zu is accepted", i);
    }
}

static void what_is_no_hello_is_refused_at_once(void **state)
{
    (void)state;
    const struct str v[] = { STR("GET / HTTP/1.1\r\n"), STR("\x15\3\1\0\2\1\0"),
                             STR("\x16\3\1\0\0"),       STR("\x16\3\1\0\4\2\0\0\0"),
                             STR("\x80\x2e\1\3\1"),     STR("\x16\2") };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        static uint8_t scratch[TLS_HELLO_MAX];
        struct tls_hello h;
        assert_int_equal(tls_hello_read((const uint8_t *)v[i].p, v[i].n, scratch, &h), -EPROTO);
    }
}

static void a_packets_ends_are_read(void **state)
{
    (void)state;
    const uint8_t udp[] = { 0x45, 0, 0, 40, 0, 0, 0, 0,  64, 17, 0,  0, 198,
                            18,   0, 2, 8,  8, 8, 8, 48, 57, 0,  53, 0, 0 };
    uint8_t p[sizeof udp];
    struct ip4_flow f;
    assert_int_equal(ip4_read(udp, sizeof udp, &f), 0);
    assert_int_equal(f.src, 0xc6120002);
    assert_int_equal(f.dst, 0x08080808);
    assert_int_equal(f.dport, 53);
    assert_int_equal(ip4_read(udp, 19, &f), -EPROTO);
    memcpy(p, udp, sizeof p);
    p[7] = 1; /* a later fragment has no ports */
    assert_int_equal(ip4_read(p, sizeof p, &f), 0);
    assert_int_equal(f.dport, 0);
    p[0] = 0x4f; /* a header longer than the packet */
    assert_int_equal(ip4_read(p, sizeof p, &f), -EPROTO);
    p[0] = 0x60;
    assert_int_equal(ip4_read(p, sizeof p, &f), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_found_however_it_is_cut),
        cmocka_unit_test(a_hello_without_a_name_says_so),
        cmocka_unit_test(an_encrypted_hello_is_noticed),
        cmocka_unit_test(two_meanings_are_refused),
        cmocka_unit_test(what_is_no_hello_is_refused_at_once),
        cmocka_unit_test(a_packets_ends_are_read),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
