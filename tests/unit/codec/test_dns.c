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
#include "codec/dns.h"

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1
#define HEAD_Q   "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define HEAD_R1  "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
#define HEAD_R2  "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00"
#define WWW      "\3www\7example\3com\0"
#define A_IN     "\x00\x01\x00\x01"
#define RR_A     "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04"
#define RR_CNAME "\x00\x05\x00\x01\x00\x00\x00\x1e"

static void a_query_is_read_in_lower_case_and_echoed_as_sent(void **state)
{
    (void)state;
    struct dns_query q;
    struct dns_answer a;
    uint8_t out[DNS_MESSAGE_MAX];
    const uint32_t addr = 0x01020304;
    const char m[] = HEAD_Q "\3wWw\7Example\3com\0" A_IN;
    assert_int_equal(dns_read_query(BYTES(m), &q), 0);
    assert_string_equal(q.name, "www.example.com");
    assert_int_equal(q.type, DNS_A);
    assert_true(q.recursion_desired);
    size_t n = dns_write_answer(out, &q, DNS_OK, &addr, 1, 60);
    assert_memory_equal(out + 12, m + 12, sizeof m - 1 - 12);
    assert_int_equal(dns_read_answer(out, n, 0x1234, "www.example.com", &a), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.addr[0], addr);
}

static void queries_that_no_resolver_sends_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        int want;
    } v[] = {
#define ROW(s, want) { s, sizeof(s) - 1, want }
        ROW("", -EPROTO),
        ROW("\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00" WWW A_IN, -EPROTO),
        ROW("\x12\x34\x29\x00\x00\x01\x00\x00\x00\x00\x00\x00" WWW A_IN, -ENOTSUP),
        ROW("\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00" WWW A_IN WWW A_IN, -EBADMSG),
        ROW("\x12\x34\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00" WWW A_IN, -EBADMSG),
        ROW(HEAD_Q WWW A_IN "x", -EBADMSG),
        ROW(HEAD_Q WWW "\x00\x01", -EBADMSG),
        ROW(HEAD_Q "\xc0\x0c" A_IN, -EBADMSG),
        ROW(HEAD_Q "\x41"
                   "a\0" A_IN,
            -EBADMSG),
        ROW(HEAD_Q WWW "\x00\x10\x00\x03", -ENOTSUP),
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        struct dns_query q;
        int rc = dns_read_query((const uint8_t *)v[i].p, v[i].n, &q);
        if (rc != v[i].want)
            fail_msg("row %zu: %d", i, rc);
    }
}

static void a_name_that_is_no_host_name_is_empty(void **state)
{
    (void)state;
    struct dns_query q;
    const char dot[] = HEAD_Q "\3a.b\3com\0" A_IN, nul[] = HEAD_Q "\3a\0b\3com\0" A_IN;
    assert_int_equal(dns_read_query(BYTES(dot), &q), 0);
    assert_string_equal(q.name, "");
    assert_int_equal(dns_read_query(BYTES(nul), &q), 0);
    assert_string_equal(q.name, "");
}

static void aliases_are_followed_and_foreign_records_are_not(void **state)
{
    (void)state;
    struct dns_answer a;
    const char alias[] = HEAD_R2 WWW A_IN "\xc0\x0c" RR_CNAME "\x00\x0a\4edge\3net\0"
                                          "\4edge\3net\0" RR_A "\x08\x08\x08\x08";
    const char foreign[] = HEAD_R1 WWW A_IN "\5other\3net\0" RR_A "\x08\x08\x08\x08";
    assert_int_equal(dns_read_answer(BYTES(alias), 0x1234, "www.example.com", &a), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.addr[0], 0x08080808);
    assert_int_equal(a.ttl_s, 30); /* the alias's */
    assert_int_equal(dns_read_answer(BYTES(foreign), 0x1234, "www.example.com", &a), 0);
    assert_int_equal(a.n, 0);
}

static void an_answer_that_was_cut_says_so(void **state)
{
    uint8_t m[DNS_MESSAGE_MAX];
    struct dns_answer a;
    size_t n = dns_write_query(m, 7, "a.example");

    (void)state;
    m[2] = 0x81;
    assert_int_equal(dns_read_answer(m, n, 7, "a.example", &a), 0);
    assert_false(a.is_cut);
    m[2] = 0x83;
    assert_int_equal(dns_read_answer(m, n, 7, "a.example", &a), 0);
    assert_true(a.is_cut);
}

static void an_answer_to_another_question_is_none(void **state)
{
    (void)state;
    struct dns_answer a;
    const char m[] = HEAD_R1 WWW A_IN "\xc0\x0c" RR_A "\x08\x08\x08\x08";
    assert_int_equal(dns_read_answer(BYTES(m), 0x1234, "www.example.com", &a), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(dns_read_answer(BYTES(m), 0x1235, "www.example.com", &a), -EPROTO);
    assert_int_equal(dns_read_answer(BYTES(m), 0x1234, "example.com", &a), -EPROTO);
    assert_int_equal(dns_read_answer(BYTES(HEAD_Q WWW A_IN), 0x1234, "www.example.com", &a),
                     -EPROTO);
}

static void our_query_reads_back(void **state)
{
    (void)state;
    uint8_t out[DNS_MESSAGE_MAX];
    struct dns_query q;
    size_t n = dns_write_query(out, 99, "a.b-c.example");
    assert_int_equal(dns_read_query(out, n, &q), 0);
    assert_string_equal(q.name, "a.b-c.example");
    assert_true(q.edns);
    assert_int_equal(dns_write_query(out, 99, ""), 0);
    assert_int_equal(dns_write_query(out, 99, "a..b"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_read_in_lower_case_and_echoed_as_sent),
        cmocka_unit_test(queries_that_no_resolver_sends_are_told_apart),
        cmocka_unit_test(a_name_that_is_no_host_name_is_empty),
        cmocka_unit_test(aliases_are_followed_and_foreign_records_are_not),
        cmocka_unit_test(an_answer_that_was_cut_says_so),
        cmocka_unit_test(an_answer_to_another_question_is_none),
        cmocka_unit_test(our_query_reads_back),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
