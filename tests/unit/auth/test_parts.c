/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, names, the limit on failures, the deny-list. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/caps.h"
#include "auth/denylist.h"
#include "auth/name.h"
#include "auth/throttle.h"
#include "base/auto.h"
#include "base/clock.h"

/* --- capabilities --- */

static struct caps caps_of(const char *text)
{
    struct caps c;
    assert_int_equal(caps_read_text(str_from(text), &c), 0);
    return c;
}

static void names_are_compared_whole(void **state)
{
    static const char *const unknown[] = {
        "",
        "execute",
        "execute:",
        "execute:*",
        "execute:Python",
        "execute:1",
        "execute:a b",
        "EXECUTE:python",
        "admin ",
        "Admin",
        "network",
        "network:*",
        "network:egress2",
        "*",
        "execute:python,admin",
        "execute:a\n",
        "execute:abcdefghijklmnopqrstuvwxyzabcdef",
    };
    struct caps c = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        assert_int_equal(caps_add(&c, str_from(unknown[i])), 0);
    assert_false(caps_may_execute_anything(&c));
    assert_int_equal(c.set, 0);
    assert_int_equal(caps_add(&c, STR("execute:c++")), 1);
    assert_true(caps_may_execute(&c, STR("c++")));
    assert_false(caps_may_execute(&c, STR("c")));
}

static void what_has_no_scope_has_all_but_admin(void **state)
{
    const struct caps all = caps_of("*"), root = caps_of("* admin"), none = caps_of("");

    (void)state;
    assert_true(caps_may_execute(&all, STR("anything")));
    assert_true(caps_have(&all, CAP_NETWORK_EGRESS));
    assert_false(caps_have(&all, CAP_ADMIN));
    assert_true(caps_have(&root, CAP_ADMIN));
    assert_false(caps_may_execute_anything(&none));
    assert_false(caps_have(&none, CAP_SURF_START));
}

static void what_covers_what(void **state)
{
    static const struct {
        const char *a, *b;
        bool want;
    } row[] = {
        { "*", "*", true },
        { "*", "execute:python network:egress", true },
        { "*", "* admin", true },
        { "execute:python", "*", false },
        { "execute:python", "execute:python", true },
        { "execute:python", "", true },
        { "", "execute:python", false },
        { "execute:python", "execute:python execute:bash", false },
        { "execute:python execute:bash", "execute:bash", true },
        { "execute:python", "execute:python network:egress", false },
        { "execute:python network:egress", "execute:python", true },
        { "execute:python", "execute:python admin", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        const struct caps a = caps_of(row[i].a), b = caps_of(row[i].b);
        assert_int_equal(caps_cover(&a, &b), row[i].want);
    }
}

static void the_text_form_is_read_as_it_is_written(void **state)
{
    static const char text[] = "* execute:python execute:c# network:egress desktop:access "
                               "surf:start spell:execute artifact:upload admin";
    AUTO_BUF struct buf b = BUF_INIT(CAPS_TEXT_MAX);
    AUTO_BUF struct buf json = BUF_INIT(CAPS_TEXT_MAX);
    const struct caps c = caps_of(text), two = caps_of("execute:python admin");
    struct caps bad;

    (void)state;
    caps_write_text(&c, &b);
    assert_string_equal(buf_cstr(&b), text);
    caps_write_json(&two, &json);
    assert_string_equal(buf_cstr(&json), "[\"execute:python\",\"admin\"]");
    assert_int_equal(caps_read_text(STR("admin  admin"), &bad), -EINVAL);
    assert_int_equal(caps_read_text(STR("fly"), &bad), -EINVAL);
}

static void the_longest_set_fits_into_its_text(void **state)
{
    AUTO_BUF struct buf b = BUF_INIT(CAPS_TEXT_MAX);
    struct caps c = caps_of("* network:egress desktop:access surf:start spell:execute "
                            "artifact:upload admin");
    char name[64];

    (void)state;
    for (unsigned i = 0; i < CAPS_LANGUAGES_MAX; i++) {
        (void)snprintf(name, sizeof name, "execute:abcdefghijklmnopqrstuvwxyzabc%02u", i);
        assert_int_equal(caps_add(&c, str_from(name)), 1);
        assert_int_equal(caps_add(&c, str_from(name)), 1); /* once more is no more */
    }
    assert_int_equal(caps_add(&c, STR("execute:x")), -ENOSPC);
    caps_write_text(&c, &b);
    assert_true(buf_ok(&b));
}

/* --- names --- */

static void a_name_needs_no_quoting_anywhere(void **state)
{
    char c[4] = "a?";

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        bool is_plain = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') ||
                        (i >= '0' && i <= '9') || i == '.' || i == '_' || i == ':' || i == '-';
        c[1] = (char)i;
        assert_int_equal(auth_name_ok((struct str){ c, 2 }, 8), is_plain);
    }
    assert_false(auth_name_ok(STR(""), 8));
    assert_false(auth_name_ok(STR("-a"), 8));
    assert_true(auth_name_ok(STR("12345678"), 8));
    assert_false(auth_name_ok(STR("123456789"), 8));
}

/* --- failures --- */

static unsigned failures_until_refused(struct throttle *t, const char *peer, uint64_t now_ns)
{
    unsigned n = 0;
    while (n < 1000 && throttle_failed(t, peer, now_ns))
        n++;
    return n;
}

static void R60_failures_are_limited_per_source_and_come_back_with_time(void **state)
{
    static struct throttle t;

    (void)state;
    assert_int_equal(failures_until_refused(&t, "10.0.0.1", NS_PER_S), THROTTLE_BURST);
    assert_false(throttle_failed(&t, "::ffff:10.0.0.1", NS_PER_S)); /* the same address */
    assert_int_equal(failures_until_refused(&t, "10.0.0.2", NS_PER_S), THROTTLE_BURST);
    assert_int_equal(failures_until_refused(&t, "unix", NS_PER_S), THROTTLE_BURST);
    assert_int_equal(failures_until_refused(&t, "10.0.0.1", 2 * NS_PER_S), THROTTLE_PER_S);
}

static void R60_addresses_of_one_v6_network_are_one_source(void **state)
{
    static struct throttle t;
    char peer[64];

    (void)state;
    for (unsigned i = 0; i < THROTTLE_BURST; i++) {
        (void)snprintf(peer, sizeof peer, "2001:db8:0:1::%x", i);
        assert_true(throttle_failed(&t, peer, NS_PER_S));
    }
    assert_false(throttle_failed(&t, "2001:db8:0:1:ffff::1", NS_PER_S));
    assert_true(throttle_failed(&t, "2001:db8:0:2::1", NS_PER_S));
}

static void R60_the_table_is_full_and_the_one_that_failed_longest_ago_makes_room(void **state)
{
    static struct throttle t;
    char peer[64];

    (void)state;
    for (unsigned i = 0; i < THROTTLE_SOURCES; i++) {
        (void)snprintf(peer, sizeof peer, "10.1.%u.%u", i / 256, i % 256);
        assert_int_equal(failures_until_refused(&t, peer, NS_PER_S + i), THROTTLE_BURST);
    }
    assert_false(throttle_failed(&t, "10.1.0.0", NS_PER_S + 1000)); /* the oldest fails again */
    assert_true(throttle_failed(&t, "10.9.9.9", NS_PER_S + 1001));  /* takes the place of .1 */
    assert_false(throttle_failed(&t, "10.1.0.0", NS_PER_S + 1002));
    assert_false(throttle_failed(&t, "10.1.0.2", NS_PER_S + 1003));
    assert_true(
        throttle_failed(&t, "10.1.0.1", NS_PER_S + 1004)); /* forgotten: it begins anew */
}

/* --- the deny-list --- */

static struct denied row(unsigned n, int64_t cutoff_s, int64_t until_s)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", n);
    return (struct denied){ digest_of(str_from(text)), cutoff_s, until_s };
}

static void what_was_denied_stays_so_up_to_its_cutoff(void **state)
{
    struct denylist d = { 0 };
    const struct denied a = row(1, 100, 200), b = row(2, 50, 60), wider = row(1, 150, 300);

    (void)state;
    assert_false(denylist_has(&d, &a.what, 1));
    assert_int_equal(denylist_add(&d, &a, 0), 0);
    assert_true(denylist_has(&d, &a.what, 100));
    assert_false(denylist_has(&d, &a.what, 101));
    assert_false(denylist_has(&d, &b.what, 1));
    assert_int_equal(denylist_add(&d, &wider, 0), 0);
    assert_int_equal(denylist_add(&d, &a, 0), 0); /* narrows nothing */
    assert_true(denylist_has(&d, &a.what, 150));
    assert_int_equal(d.n, 1);
    denylist_fini(&d);
}

static void a_full_list_forgets_what_has_expired_and_nothing_else(void **state)
{
    struct denylist d = { 0 };

    (void)state;
    for (unsigned i = 0; i < DENYLIST_MAX; i++) {
        const struct denied r = row(i, INT64_MAX, i % 2 ? 1000 : 2000);
        assert_int_equal(denylist_add(&d, &r, 0), 0);
    }
    const struct denied more = row(DENYLIST_MAX, INT64_MAX, 3000);
    assert_int_equal(denylist_add(&d, &more, 1000), -ENOSPC); /* the last second still counts */
    assert_int_equal(denylist_add(&d, &more, 1001), 0);
    assert_true(denylist_has(&d, &more.what, 1));
    for (unsigned i = 0; i < DENYLIST_MAX; i++) {
        const struct denied r = row(i, 0, 0);
        assert_int_equal(denylist_has(&d, &r.what, 1), i % 2 == 0);
    }
    denylist_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(what_has_no_scope_has_all_but_admin),
        cmocka_unit_test(what_covers_what),
        cmocka_unit_test(the_text_form_is_read_as_it_is_written),
        cmocka_unit_test(the_longest_set_fits_into_its_text),
        cmocka_unit_test(a_name_needs_no_quoting_anywhere),
        cmocka_unit_test(R60_failures_are_limited_per_source_and_come_back_with_time),
        cmocka_unit_test(R60_addresses_of_one_v6_network_are_one_source),
        cmocka_unit_test(R60_the_table_is_full_and_the_one_that_failed_longest_ago_makes_room),
        cmocka_unit_test(what_was_denied_stays_so_up_to_its_cutoff),
        cmocka_unit_test(a_full_list_forgets_what_has_expired_and_nothing_else),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
