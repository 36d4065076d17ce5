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
#include "e2b-sandbox/create_request.h"

#define MAX_S 86400

static struct create_request parsed(enum create_version version, const char *body)
{
    struct create_request r = { 0 };
    struct err e = { 0 };

    if (create_request_parse(str_from(body), version, MAX_S, &r, &e) < 0)
        fail_msg("%s: %s", body, e.text);
    return r;
}

static void refuses(const char *body, const char *word)
{
    struct create_request r = { 0 };
    struct err e = { 0 };

    if (create_request_parse(str_from(body), CREATE_V2, MAX_S, &r, &e) != -EINVAL)
        fail_msg("%s is accepted", body);
    assert_null(r.body);
    if (!strstr(e.text, word))
        fail_msg("%s: '%s' does not say '%s'", body, e.text, word);
}

static void defaults_are_those_of_each_version(void **state)
{
    AUTO_CREATE_REQUEST struct create_request v1 =
        parsed(CREATE_V1, "{\"templateID\":\"base\"}");
    AUTO_CREATE_REQUEST struct create_request v2 =
        parsed(CREATE_V2, "{\"templateID\":\"base\"}");

    (void)state;
    assert_int_equal(v1.timeout_s, 15);
    assert_int_equal(v2.timeout_s, 300);
    assert_true(v1.secure && v2.secure);
    assert_int_equal(v1.network.internet, INTERNET_UNSET);
    assert_true(v1.network.policy.open);
    assert_false(v1.network.asks_for_access);
    assert_null(v1.metadata);
    assert_null(v1.env);
}

static void a_default_is_never_above_the_maximum(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r = { 0 };
    struct err e = { 0 };

    (void)state;
    assert_int_equal(
        create_request_parse(STR("{\"templateID\":\"base\"}"), CREATE_V2, 60, &r, &e), 0);
    assert_int_equal(r.timeout_s, 60);
}

static void secure_counts_in_version_1_only(void **state)
{
    AUTO_CREATE_REQUEST struct create_request v1 =
        parsed(CREATE_V1, "{\"templateID\":\"base\",\"secure\":false}");
    AUTO_CREATE_REQUEST struct create_request v2 =
        parsed(CREATE_V2, "{\"templateID\":\"base\",\"secure\":false}");

    (void)state;
    assert_false(v1.secure);
    assert_true(v2.secure);
}

static void every_supported_field_arrives_and_unknown_ones_are_ignored(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r = parsed(
        CREATE_V2,
        "{\"templateID\":\"Team/My-T_1:default\",\"timeout\":86400,\"metadata\":{\"a\":\"b\"},"
        "\"envVars\":{\"A\":\"\"},\"allow_internet_access\":false,\"future\":[{}],\"mcp\":"
        "null}");
    (void)state;
    assert_string_equal(r.template.text, "team/my-t_1:default");
    assert_string_equal(r.template.name, "my-t_1");
    assert_true(r.template.has_known_tag);
    assert_int_equal(r.timeout_s, 86400);
    assert_int_equal(json_object_size(r.metadata), 1);
    assert_int_equal(json_object_size(r.env), 1);
    assert_int_equal(r.network.internet, INTERNET_DENIED);
    assert_false(r.network.policy.open);
}

static void network_rules_become_a_policy(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r = parsed(
        CREATE_V2, "{\"templateID\":\"base\",\"network\":{\"allowOut\":[\"*.Example.com\","
                   "\"tcp:1.2.3.4:443\"],\"denyOut\":[\"0.0.0.0/0\",\"8.8.8.8\"]}}");
    AUTO_CREATE_REQUEST struct create_request denied = parsed(
        CREATE_V2, "{\"templateID\":\"base\",\"network\":{\"denyOut\":[\"0.0.0.0/0\"]}}");
    (void)state;
    assert_true(r.network.asks_for_access);
    assert_false(r.network.policy.open);
    assert_int_equal(r.network.policy.n, 3); /* "everything" has become the default */
    assert_true(network_wish_needs_network(&r.network));
    assert_string_equal(r.network.text, "{\"allowOut\":[\"*.Example.com\",\"tcp:1.2.3.4:443\"],"
                                        "\"denyOut\":[\"0.0.0.0/0\",\"8.8.8.8\"]}");
    assert_true(egress_address_allowed(&r.network.policy, EGRESS_TCP, 0x01020304, 443));
    assert_int_equal(egress_name_decide(&r.network.policy, "a.example.com"),
                     EGRESS_NAME_PINNED);
    assert_false(denied.network.asks_for_access);
    assert_false(network_wish_needs_network(&denied.network));
}

static void a_tag_that_no_template_has_is_told_apart(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r =
        parsed(CREATE_V2, "{\"templateID\":\"base:v1.2\"}");
    (void)state;
    assert_false(r.template.has_known_tag);
}

static void what_is_no_template_reference_is_refused(void **state)
{
    static const char *const ref[] = { "",      "a/b/c", "/a",      "a/",        "a:",
                                       "a:b:c", "a b",   "../a",    "a%2f",      ".a",
                                       "-a",    "a\\n",  "\\u00e4", "a:\\u00e4", "a/b:/" };
    char body[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ref); i++) {
        (void)snprintf(body, sizeof body, "{\"templateID\":\"%s\"}", ref[i]);
        refuses(body, "templateID");
    }
}

static void wrong_types_and_ranges_are_refused_by_name(void **state)
{
    (void)state;
    refuses("", "empty");
    refuses("[]", "object");
    refuses("{", "JSON");
    refuses("{}", "templateID");
    refuses("{\"templateID\":null}", "templateID");
    refuses("{\"templateID\":1}", "templateID");
    refuses("{\"templateID\":\"b\",\"timeout\":0}", "timeout");
    refuses("{\"templateID\":\"b\",\"timeout\":86401}", "timeout");
    refuses("{\"templateID\":\"b\",\"timeout\":1.0}", "timeout");
    refuses("{\"templateID\":\"b\",\"metadata\":{\"a\":1}}", "metadata");
    refuses("{\"templateID\":\"b\",\"envVars\":[]}", "envVars");
    refuses("{\"templateID\":\"b\",\"envVars\":{\"A=\":\"\"}}", "envVars");
    refuses("{\"templateID\":\"b\",\"allow_internet_access\":1}", "allow_internet_access");
}

static void what_cannot_be_had_is_refused_by_name(void **state)
{
    (void)state;
    refuses("{\"templateID\":\"b\",\"network\":{\"rules\":{\"a\":[]}}}", "network.rules");
    refuses("{\"templateID\":\"b\",\"network\":{\"allowOut\":[\"a\"]}}", "network.allowOut[0]");
    refuses("{\"templateID\":\"b\",\"network\":{\"allowOut\":[\"1.1.1.1\",7]}}",
            "network.allowOut[1]");
    refuses("{\"templateID\":\"b\",\"network\":{\"allowOut\":\"1.1.1.1\"}}",
            "network: field 'allowOut'");
    refuses("{\"templateID\":\"b\",\"network\":{\"denyOut\":[\"example.com\"]}}",
            "network.denyOut[0]");
    refuses("{\"templateID\":\"b\",\"network\":{\"allowOut\":[\"10.0.0.1\"]}}",
            "network.allowOut[0]");
    /* A domain where everything else is open would promise what nobody keeps. */
    refuses("{\"templateID\":\"b\",\"network\":{\"allowOut\":[\"example.com\"]}}",
            "network.allowOut");
    refuses("{\"templateID\":\"b\",\"network\":{\"egressProxy\":{\"address\":\"a\"}}}",
            "network.egressProxy");
    refuses("{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"a\"}}",
            "network.maskRequestHost");
    refuses("{\"templateID\":\"b\",\"network\":{\"httpsPorts\":[443]}}", "network.httpsPorts");
    refuses("{\"templateID\":\"b\",\"network\":{\"allowPublicTraffic\":false}}",
            "network.allowPublicTraffic");
    refuses("{\"templateID\":\"b\",\"network\":[]}", "network");
    refuses("{\"templateID\":\"b\",\"autoPause\":true}", "autoPause");
    refuses("{\"templateID\":\"b\",\"autoPauseMemory\":false}", "autoPauseMemory");
    refuses("{\"templateID\":\"b\",\"autoResume\":{\"enabled\":true}}", "autoResume");
    refuses("{\"templateID\":\"b\",\"volumeMounts\":[{}]}", "volumeMounts");
    refuses("{\"templateID\":\"b\",\"iam\":{\"tokens\":{}}}", "iam");
    refuses("{\"templateID\":\"b\",\"mcp\":{\"a\":1}}", "mcp");
}

static void an_empty_body_counts_where_it_may(void **state)
{
    struct err e = { 0 };
    json_t *j = body_parse(STR(""), true, &e);

    (void)state;
    assert_true(json_is_object(j));
    json_decref(j);
    assert_null(body_parse(STR(""), false, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_each_version),
        cmocka_unit_test(a_default_is_never_above_the_maximum),
        cmocka_unit_test(secure_counts_in_version_1_only),
        cmocka_unit_test(every_supported_field_arrives_and_unknown_ones_are_ignored),
        cmocka_unit_test(network_rules_become_a_policy),
        cmocka_unit_test(a_tag_that_no_template_has_is_told_apart),
        cmocka_unit_test(what_is_no_template_reference_is_refused),
        cmocka_unit_test(wrong_types_and_ranges_are_refused_by_name),
        cmocka_unit_test(what_cannot_be_had_is_refused_by_name),
        cmocka_unit_test(an_empty_body_counts_where_it_may),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
