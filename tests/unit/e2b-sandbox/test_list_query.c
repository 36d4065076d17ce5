/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "e2b-sandbox/list_query.h"

#define ID_A "i000000000000000000a"
#define ID_B "i000000000000000000b"

static struct list_query parsed(const char *query)
{
    struct list_query q = { 0 };
    struct err e = { 0 };

    if (list_query_parse(str_from(query), &q, &e) < 0)
        fail_msg("%s: %s", query, e.text);
    return q;
}

static void refuses(const char *query, const char *word)
{
    struct list_query q = { 0 };
    struct err e = { 0 };

    if (list_query_parse(str_from(query), &q, &e) != -EINVAL)
        fail_msg("%s is accepted", query);
    if (!strstr(e.text, word))
        fail_msg("%s: '%s' does not say '%s'", query, e.text, word);
}

static struct list_place place(uint64_t ns, const char *id)
{
    struct list_place p = { .started_ns = ns };
    (void)str_copy(str_from(id), p.id.text, sizeof p.id.text);
    return p;
}

static const char *pair(const struct list_query *q, const char *key)
{
    return json_string_value(json_object_get(q->metadata, key));
}

static void nothing_asked_for_is_everything_newest_first(void **state)
{
    AUTO_LIST_QUERY struct list_query q = parsed("");

    (void)state;
    assert_true(q.running && q.paused);
    assert_false(q.ascending);
    assert_int_equal(q.limit, 100);
    assert_null(q.metadata);
    assert_false(q.has_place);
}

static void states_come_joined_or_repeated(void **state)
{
    static const struct {
        const char *query;
        bool running, paused;
    } row[] = {
        { "state=running", true, false },
        { "state=paused", false, true },
        { "state=running,paused", true, true },
        { "state=running%2Cpaused", true, true },
        { "state=paused&state=running", true, true },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        AUTO_LIST_QUERY struct list_query q = parsed(row[i].query);
        assert_int_equal(q.running, row[i].running);
        assert_int_equal(q.paused, row[i].paused);
    }
}

static void metadata_is_decoded_as_the_published_client_encodes_it(void **state)
{
    AUTO_LIST_QUERY struct list_query q = parsed("metadata=user%252520id%3Da%252526b");

    (void)state;
    assert_int_equal(json_object_size(q.metadata), 1);
    assert_string_equal(pair(&q, "user id"), "a&b");
}

static void several_pairs_and_odd_characters_survive(void **state)
{
    /* {"a+b": "1=2 %", "\u00e4": ""} */
    AUTO_LIST_QUERY struct list_query q =
        parsed("metadata=a%25252Bb%3D1%25253D2%252520%252525%26%2525C3%2525A4%3D&limit=1");

    (void)state;
    assert_int_equal(json_object_size(q.metadata), 2);
    assert_string_equal(pair(&q, "a+b"), "1=2 %");
    assert_string_equal(pair(&q, "\u00e4"), "");
    assert_int_equal(q.limit, 1);
}

static void all_pairs_of_the_filter_must_match(void **state)
{
    json_t *have = json_pack("{s:s, s:s}", "a", "1", "b", "2");
    json_t *want = json_pack("{s:s}", "b", "2");
    json_t *other = json_pack("{s:s, s:s}", "b", "2", "a", "2");
    json_t *missing = json_pack("{s:s}", "c", "");

    (void)state;
    assert_true(list_metadata_matches(NULL, have));
    assert_true(list_metadata_matches(want, have));
    assert_false(list_metadata_matches(other, have));
    assert_false(list_metadata_matches(missing, have));
    json_decref(have);
    json_decref(want);
    json_decref(other);
    json_decref(missing);
}

static void bad_values_are_refused_by_name(void **state)
{
    (void)state;
    refuses("limit=0", "limit");
    refuses("limit=101", "limit");
    refuses("limit=", "limit");
    refuses("limit=1x", "limit");
    refuses("state=", "state");
    refuses("state=running,", "state");
    refuses("state=killed", "state");
    refuses("order=up", "order");
    refuses("startedAfter=now", "startedAfter");
    refuses("startedAfter=2026-13-01T00:00:00Z", "startedAfter");
    refuses("nextToken=x", "nextToken");
    refuses("nextToken=1." ID_A, "nextToken");
    refuses("nextToken=1." ID_A ".x", "nextToken");
    refuses("nextToken=1.I000000000000000000a.a", "nextToken");
    refuses("nextToken=g." ID_A ".a", "nextToken");
    refuses("nextToken=1." ID_A ".d&order=asc", "nextToken");
    refuses("metadata=%25", "metadata");
    refuses("metadata=%25zz%3D1", "metadata");
    refuses("metadata=%2525ff%3D1%2525ff", "metadata"); /* no UTF-8 */
    refuses("limit=%", "percent");
}

static void unknown_parameters_are_ignored(void **state)
{
    AUTO_LIST_QUERY struct list_query q = parsed(
        "teamID=x&limit=7&a-name-that-is-longer-than-any-that-we-know-which-is-ignored-too=1");
    (void)state;
    assert_int_equal(q.limit, 7);
}

static void a_cursor_goes_on_behind_its_place_in_either_order(void **state)
{
    const struct list_place at = place(1000, ID_A), same_time = place(1000, ID_B),
                            later = place(1001, ID_A), earlier = place(999, ID_B);
    char text[LIST_CURSOR_MAX], query[128];

    (void)state;
    for (int ascending = 0; ascending < 2; ascending++) {
        list_cursor_write(&at, ascending, text);
        (void)snprintf(query, sizeof query, "nextToken=%s", text);
        AUTO_LIST_QUERY struct list_query q = parsed(query);
        assert_true(q.has_place);
        assert_int_equal(q.ascending, ascending);
        assert_false(list_place_follows(&q, &at)); /* not again */
        assert_int_equal(list_place_follows(&q, &same_time), ascending);
        assert_int_equal(list_place_follows(&q, &later), ascending);
        assert_int_equal(list_place_follows(&q, &earlier), !ascending);
    }
}

static void the_largest_cursor_fits_and_needs_no_encoding(void **state)
{
    const struct list_place at = place(UINT64_MAX, ID_B);
    char text[LIST_CURSOR_MAX];
    struct list_place back;
    bool ascending;

    (void)state;
    list_cursor_write(&at, true, text);
    assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789."), strlen(text));
    assert_int_equal(list_cursor_read(str_from(text), &back, &ascending), 0);
    assert_int_equal(list_place_compare(&at, &back), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_for_is_everything_newest_first),
        cmocka_unit_test(states_come_joined_or_repeated),
        cmocka_unit_test(metadata_is_decoded_as_the_published_client_encodes_it),
        cmocka_unit_test(several_pairs_and_odd_characters_survive),
        cmocka_unit_test(all_pairs_of_the_filter_must_match),
        cmocka_unit_test(bad_values_are_refused_by_name),
        cmocka_unit_test(unknown_parameters_are_ignored),
        cmocka_unit_test(a_cursor_goes_on_behind_its_place_in_either_order),
        cmocka_unit_test(the_largest_cursor_fits_and_needs_no_encoding),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
