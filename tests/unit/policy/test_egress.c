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
#include "policy/egress.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

struct set {
    struct egress_rule rule[EGRESS_RULES_MAX];
    struct egress_policy p;
};

static void add(struct set *s, const char *text, bool allow)
{
    struct err e = { 0 };
    if (egress_rule_parse(str_from(text), allow, &s->rule[s->p.n], &e) < 0)
        fail_msg("'%s' %s", text, e.text);
    assert_true(egress_rule_ok(&s->rule[s->p.n]));
    s->p.n++;
    s->p.rule = s->rule;
}

static void entries_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t kind, proto, prefix;
        uint32_t addr;
        uint16_t first, last;
        const char *name;
    } v[] = {
        { "1.2.3.4", EGRESS_CIDR, 0, 32, IP(1, 2, 3, 4), 0, 65535, "" },
        { "1.2.3.4/24", EGRESS_CIDR, 0, 24, IP(1, 2, 3, 0), 0, 65535, "" },
        { "0.0.0.0/0", EGRESS_CIDR, 0, 0, 0, 0, 65535, "" },
        { "tcp:8.8.8.8:53", EGRESS_CIDR, 6, 32, IP(8, 8, 8, 8), 53, 53, "" },
        { "udp:8.0.0.0/8:1000-2000", EGRESS_CIDR, 17, 8, IP(8, 0, 0, 0), 1000, 2000, "" },
        { "Example.COM", EGRESS_NAME, 0, 0, 0, 0, 65535, "example.com" },
        { "example.com.", EGRESS_NAME, 0, 0, 0, 0, 65535, "example.com" },
        { "*.example.com", EGRESS_SUFFIX, 0, 0, 0, 0, 65535, "example.com" },
        { "tcp:git.example.com:22", EGRESS_NAME, 6, 0, 0, 22, 22, "git.example.com" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        struct egress_rule r;
        struct err e;
        assert_int_equal(egress_rule_parse(str_from(v[i].text), true, &r, &e), 0);
        assert_int_equal(r.kind, v[i].kind);
        assert_int_equal(r.proto, v[i].proto);
        assert_int_equal(r.prefix, v[i].prefix);
        assert_int_equal(r.addr, v[i].addr);
        assert_int_equal(r.port_first, v[i].first);
        assert_int_equal(r.port_last, v[i].last);
        assert_string_equal(r.name, v[i].name);
        assert_true(egress_rule_ok(&r));
    }
}

static void what_is_no_entry_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool allow;
        const char *why;
    } v[] = {
        { "", true, "neither" },
        { "localhost", true, "neither" },
        { "1.2.3", true, "neither" },
        { "0x7f.1", true, "neither" },
        { "1.2.3.4/33", true, "CIDR" },
        { "1.2.3.4/", true, "CIDR" },
        { "example.com/24", true, "CIDR" },
        { "1.2.3.4:0", true, "PORT" },
        { "1.2.3.4:65536", true, "PORT" },
        { "1.2.3.4:9-8", true, "PORT" },
        { "1.2.3.4:", true, "PORT" },
        { "::1", true, "IPv6" },
        { "[::1]:80", true, "IPv6" },
        { "::ffff:169.254.169.254", true, "IPv6" },
        { "64:ff9b::a9fe:a9fe", true, "IPv6" },
        { "a..b", true, "neither" },
        { "-a.b", true, "neither" },
        { "*", true, "neither" },
        { "*.com", true, "neither" },
        { "a.*.com", true, "neither" },
        { "ex\xc3\xa4mple.com", true, "neither" },
        { "a.b:80-90", true, "one port" },
        { "example.com", false, "cannot be denied" },
        { "10.1.2.3", true, "no sandbox may reach" },
        { "127.0.0.0/8", true, "no sandbox may reach" },
        { "169.254.169.254", true, "no sandbox may reach" },
        { "198.18.0.1", true, "no sandbox may reach" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        struct egress_rule r;
        struct err e = { 0 };
        assert_int_equal(egress_rule_parse(str_from(v[i].text), v[i].allow, &r, &e), -EINVAL);
        if (!strstr(e.text, v[i].why))
            fail_msg("'%s': says '%s', not '%s'", v[i].text, e.text, v[i].why);
    }
}

static void a_private_range_may_be_denied_and_a_larger_one_allowed(void **state)
{
    (void)state;
    struct egress_rule r;
    struct err e;
    assert_int_equal(egress_rule_parse(STR("10.0.0.0/8"), false, &r, &e), 0);
    assert_int_equal(egress_rule_parse(STR("0.0.0.0/0"), true, &r, &e), 0);
    assert_true(egress_rule_is_everything(&r));
}

static void special_addresses_are_special_at_both_ends(void **state)
{
    (void)state;
    static const struct {
        uint32_t addr;
        bool special;
    } v[] = {
        { IP(0, 0, 0, 0), true },         { IP(0, 255, 255, 255), true },
        { IP(1, 0, 0, 0), false },        { IP(9, 255, 255, 255), false },
        { IP(10, 0, 0, 0), true },        { IP(11, 0, 0, 0), false },
        { IP(100, 63, 255, 255), false }, { IP(100, 64, 0, 0), true },
        { IP(100, 127, 255, 255), true }, { IP(100, 128, 0, 0), false },
        { IP(127, 0, 0, 1), true },       { IP(128, 0, 0, 0), false },
        { IP(169, 253, 0, 1), false },    { IP(169, 254, 169, 254), true },
        { IP(172, 15, 255, 255), false }, { IP(172, 16, 0, 0), true },
        { IP(172, 31, 255, 255), true },  { IP(172, 32, 0, 0), false },
        { IP(192, 0, 0, 8), true },       { IP(192, 0, 2, 1), true },
        { IP(192, 0, 1, 1), false },      { IP(192, 88, 99, 1), true },
        { IP(192, 168, 1, 1), true },     { IP(192, 169, 0, 0), false },
        { IP(198, 18, 0, 1), true },      { IP(198, 19, 255, 255), true },
        { IP(198, 20, 0, 0), false },     { IP(198, 51, 100, 7), true },
        { IP(203, 0, 113, 7), true },     { IP(223, 255, 255, 255), false },
        { IP(224, 0, 0, 1), true },       { IP(239, 255, 255, 250), true },
        { IP(240, 0, 0, 0), true },       { IP(255, 255, 255, 255), true },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        if (egress_is_special(v[i].addr) != v[i].special)
            fail_msg("row %zu", i);
}

static void allow_wins_over_deny_and_the_rest_follows_the_default(void **state)
{
    (void)state;
    struct set s = { .p.open = true };
    add(&s, "8.0.0.0/8", false);
    add(&s, "8.8.8.8", true);
    add(&s, "udp:9.9.9.9:53", false);
    assert_true(egress_address_allowed(&s.p, EGRESS_TCP, IP(8, 8, 8, 8), 1));
    assert_false(egress_address_allowed(&s.p, EGRESS_TCP, IP(8, 8, 4, 4), 1));
    assert_true(egress_address_allowed(&s.p, EGRESS_TCP, IP(1, 1, 1, 1), 1));
    assert_true(egress_address_allowed(&s.p, EGRESS_TCP, IP(9, 9, 9, 9), 53));
    assert_false(egress_address_allowed(&s.p, EGRESS_UDP, IP(9, 9, 9, 9), 53));
    assert_true(egress_address_allowed(&s.p, EGRESS_UDP, IP(9, 9, 9, 9), 54));
    assert_false(egress_address_allowed(&s.p, 1, IP(1, 1, 1, 1), 0)); /* ICMP */
    assert_false(egress_address_allowed(&s.p, EGRESS_TCP, IP(10, 0, 0, 1), 80));
    s.p.open = false;
    assert_false(egress_address_allowed(&s.p, EGRESS_TCP, IP(1, 1, 1, 1), 1));
    assert_true(egress_address_allowed(&s.p, EGRESS_TCP, IP(8, 8, 8, 8), 1));
}

static void everything_granted_does_not_grant_special_ranges(void **state)
{
    (void)state;
    struct set s = { .p.open = false };
    size_t n;
    add(&s, "0.0.0.0/0", true);
    const struct egress_range *r = egress_special_ranges(&n);
    assert_true(n >= 15);
    for (size_t i = 0; i < n; i++)
        assert_false(egress_address_allowed(&s.p, EGRESS_TCP, r[i].addr + 1, 80));
    assert_true(egress_address_allowed(&s.p, EGRESS_TCP, IP(1, 1, 1, 1), 80));
}

static void names_are_decided_by_exact_name_and_by_suffix(void **state)
{
    (void)state;
    struct set s = { .p.open = false };
    add(&s, "example.com", true);
    add(&s, "*.example.org", true);
    add(&s, "tcp:git.example.net:22", true);
    static const struct {
        const char *name;
        enum egress_name_verdict want;
    } v[] = {
        { "example.com", EGRESS_NAME_PINNED },
        { "www.example.com", EGRESS_NAME_REFUSED },
        { "example.org", EGRESS_NAME_REFUSED },
        { "a.example.org", EGRESS_NAME_PINNED },
        { "a.b.example.org", EGRESS_NAME_PINNED },
        { "badexample.org", EGRESS_NAME_REFUSED },
        { "example.com.evil.net", EGRESS_NAME_REFUSED },
        { "git.example.net", EGRESS_NAME_PINNED },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        assert_int_equal(egress_name_decide(&s.p, v[i].name), v[i].want);
    assert_true(egress_name_allowed(&s.p, "example.com", EGRESS_TCP, 443));
    assert_true(egress_name_allowed(&s.p, "git.example.net", EGRESS_TCP, 22));
    assert_false(egress_name_allowed(&s.p, "git.example.net", EGRESS_UDP, 22));
    assert_false(egress_name_allowed(&s.p, "git.example.net", EGRESS_TCP, 443));
    s.p.open = true;
    assert_int_equal(egress_name_decide(&s.p, "www.example.com"), EGRESS_NAME_OPEN);
    assert_int_equal(egress_name_decide(&s.p, "example.com"), EGRESS_NAME_PINNED);
}

static void note_port(uint8_t proto, uint16_t port, void *arg)
{
    *(unsigned *)arg += proto * 100000u + port;
}

static void ports_of_a_name_are_listed(void **state)
{
    (void)state;
    struct set s = { .p.open = false };
    unsigned sum = 0;
    add(&s, "tcp:git.example.net:22", true);
    assert_false(egress_name_ports(&s.p, "git.example.net", note_port, &sum));
    assert_int_equal(sum, 600022);
    add(&s, "*.example.net", true);
    assert_true(egress_name_ports(&s.p, "git.example.net", note_port, &sum));
}

static void rules_from_a_border_are_checked(void **state)
{
    (void)state;
    struct set s = { .p.open = false };
    add(&s, "*.example.org", true);
    add(&s, "1.2.3.0/24", false);
    struct egress_rule r = s.rule[0];
    r.allow = 0;
    assert_false(egress_rule_ok(&r));
    r = s.rule[0];
    memset(r.name, 'a', sizeof r.name);
    assert_false(egress_rule_ok(&r));
    r = s.rule[0];
    r.name[0] = '"';
    assert_false(egress_rule_ok(&r));
    r = s.rule[1];
    r.addr |= 1;
    assert_false(egress_rule_ok(&r));
    r = s.rule[1];
    r.prefix = 33;
    assert_false(egress_rule_ok(&r));
    r = s.rule[1];
    r.proto = 1;
    assert_false(egress_rule_ok(&r));
    r = s.rule[1];
    r.kind = 9;
    assert_false(egress_rule_ok(&r));
}

/* --- boxes --- */

static uint32_t next(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static size_t holding(const struct egress_region *r, size_t n, uint8_t proto, uint32_t addr,
                      uint16_t port)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += r[i].proto == proto && addr >= r[i].addr_first && addr <= r[i].addr_last &&
             port >= r[i].port_first && port <= r[i].port_last;
    return k;
}

static void make_random(struct set *s, uint32_t *x)
{
    size_t n = next(x) % 12;
    *s = (struct set){ .p.open = next(x) & 1, .p.rule = s->rule };
    for (size_t i = 0; i < n; i++) {
        struct egress_rule *r = &s->rule[i];
        r->kind = EGRESS_CIDR;
        r->allow = next(x) & 1;
        r->proto = (uint8_t)(next(x) % 3 == 0 ? 0 : next(x) & 1 ? EGRESS_TCP : EGRESS_UDP);
        r->prefix = (uint8_t)(24 + next(x) % 9);
        r->addr = (IP(9, 9, 9, 0) | (next(x) & 0xff)) &
                  (r->prefix == 32 ? ~0u : ~0u << (32 - r->prefix));
        r->port_last = 65535;
        if (next(x) & 1) {
            r->port_first = (uint16_t)(next(x) % 20);
            r->port_last = (uint16_t)(r->port_first + next(x) % 5);
        }
    }
    s->p.n = n;
    s->p.rule = s->rule;
}

/* Every address of a /24 and every port around those in use: in one box exactly if allowed. */
static void boxes_say_what_the_decision_says_and_do_not_overlap(void **state)
{
    (void)state;
    static struct set s;
    static struct egress_region r[EGRESS_REGIONS_MAX];
    uint32_t x = 42;
    for (int round = 0; round < 60; round++) {
        make_random(&s, &x);
        s.p.rule = s.rule;
        int n = egress_compile(&s.p, r, EGRESS_REGIONS_MAX);
        assert_true(n >= 0);
        for (uint32_t a = IP(9, 9, 8, 250); a < IP(9, 9, 10, 4); a++)
            for (uint16_t port = 0; port < 26; port++) {
                bool tcp = egress_address_allowed(&s.p, EGRESS_TCP, a, port);
                bool udp = egress_address_allowed(&s.p, EGRESS_UDP, a, port);
                assert_int_equal(holding(r, (size_t)n, EGRESS_TCP, a, port), tcp);
                assert_int_equal(holding(r, (size_t)n, EGRESS_UDP, a, port), udp);
            }
        assert_int_equal(holding(r, (size_t)n, EGRESS_TCP, IP(9, 9, 9, 9), 65535),
                         egress_address_allowed(&s.p, EGRESS_TCP, IP(9, 9, 9, 9), 65535));
    }
}

static void simple_policies_make_few_boxes(void **state)
{
    (void)state;
    struct egress_region r[16];
    struct set all = { .p.open = true }, none = { .p.open = false }, split = { .p.open = true };
    assert_int_equal(egress_compile(&all.p, r, 16), 2);
    assert_int_equal(r[0].addr_first, 0);
    assert_int_equal(r[0].addr_last, UINT32_MAX);
    assert_int_equal(r[0].port_last, 65535);
    assert_int_equal(egress_compile(&none.p, r, 16), 0);
    add(&split, "8.8.8.8", false);
    assert_int_equal(egress_compile(&split.p, r, 16), 4);
    assert_int_equal(egress_compile(&split.p, r, 3), -E2BIG);
    add(&split, "8.8.8.8", true); /* allowed after all: one box again */
    assert_int_equal(egress_compile(&split.p, r, 16), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_read),
        cmocka_unit_test(what_is_no_entry_is_refused_with_its_reason),
        cmocka_unit_test(a_private_range_may_be_denied_and_a_larger_one_allowed),
        cmocka_unit_test(special_addresses_are_special_at_both_ends),
        cmocka_unit_test(allow_wins_over_deny_and_the_rest_follows_the_default),
        cmocka_unit_test(everything_granted_does_not_grant_special_ranges),
        cmocka_unit_test(names_are_decided_by_exact_name_and_by_suffix),
        cmocka_unit_test(ports_of_a_name_are_listed),
        cmocka_unit_test(rules_from_a_border_are_checked),
        cmocka_unit_test(boxes_say_what_the_decision_says_and_do_not_overlap),
        cmocka_unit_test(simple_policies_make_few_boxes),
    };
    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
