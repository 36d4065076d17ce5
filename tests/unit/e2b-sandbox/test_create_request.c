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
#include "codec/json.h"
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

#define RULES(rules)     "{\"templateID\":\"b\",\"network\":{\"rules\":" rules "}}"
#define HEADERS(headers) RULES("{\"a.com\":[{\"transform\":{\"headers\":{" headers "}}}]}")

static void headers_of_rules_arrive_and_their_values_are_not_told(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r = parsed(
        CREATE_V2, RULES("{\"Api.Example.com\":[{\"transform\":{\"headers\":{\"Authorization\":"
                         "\"Bearer s3cret\",\"X-Key\":\"k\"}}}],\"*.b.com\":[]}"));
    (void)state;
    assert_true(r.network.asks_for_access);
    assert_true(r.network.policy.open);
    assert_int_equal(r.network.n_transforms, 2);
    size_t first;
    assert_int_equal(transform_find(r.network.transform, 2, "api.example.com", &first), 2);
    assert_memory_equal(r.network.transform[0].value, "Bearer s3cret", 13);
    assert_string_equal(
        r.network.text,
        "{\"allowOut\":[],\"denyOut\":[],\"rules\":{\"Api.Example.com\":[{"
        "\"transform\":{\"headers\":{\"Authorization\":\"***\",\"X-Key\":\"***\"}}}"
        "],\"*.b.com\":[]}}");
    assert_non_null(strstr(r.network.secrets, "s3cret"));
}

/* Refused, and the value is in no message. */
static void refuses_quietly(const char *body, const char *field)
{
    struct create_request r = { 0 };
    struct err e = { 0 };

    assert_int_equal(create_request_parse(str_from(body), CREATE_V2, 86400, &r, &e), -EINVAL);
    assert_non_null(strstr(e.text, field));
    assert_null(strstr(e.text, "s3cret"));
}

static void what_is_no_rule_is_refused_by_name_and_without_its_value(void **state)
{
    (void)state;
    refuses_quietly(RULES("[]"), "rules");
    refuses_quietly(RULES("{\"a\":[]}"), "network.rules");
    refuses_quietly(RULES("{\"1.2.3.4\":[]}"), "network.rules");
    refuses_quietly(RULES("{\"a.com:80\":[]}"), "network.rules");
    refuses_quietly(RULES("{\"a.com\":{}}"), "network.rules.a.com");
    refuses_quietly(RULES("{\"a.com\":[{},{}]}"), "at most one");
    refuses_quietly(RULES("{\"a.com\":[7]}"), "network.rules.a.com");
    refuses_quietly(RULES("{\"a.com\":[{\"transform\":7}]}"), "transform");
    refuses_quietly(RULES("{\"a.com\":[{\"transform\":{\"headers\":[]}}]}"), "headers");
    refuses_quietly(
        RULES("{\"a.com\":[{\"transform\":{\"headers\":{\"A\":\"1\"}}}],\"A.com\":[{"
              "\"transform\":{\"headers\":{\"A\":\"2\"}}}]}"),
        "twice");
    refuses_quietly(HEADERS("\"Host\":\"s3cret\""), "header 'Host'");
    refuses_quietly(HEADERS("\"content_length\":\"7\""), "content_length");
    refuses_quietly(HEADERS("\"a b\":\"s3cret\""), "header 'a b'");
    refuses_quietly(HEADERS("\"A\":7"), "header 'A'");
    refuses_quietly(HEADERS("\"A\":\"\""), "header 'A'");
    refuses_quietly(HEADERS("\"A\":\"s3cret\\r\\nB: c\""), "header 'A'");
    refuses_quietly(HEADERS("\"A\":\"s3cret \""), "header 'A'");
    refuses_quietly(HEADERS("\"A\":\"s3cret\\u00e4\""), "header 'A'");
    refuses_quietly(HEADERS("\"A\":\"***\""), "send the value itself");
    refuses_quietly(HEADERS("\"A\":\"Bearer ${e2b.secrets.x}\""), "send the value itself");
    refuses_quietly(HEADERS("\"A\":\"1\",\"a\":\"2\""), "twice");
}

/* A body of `hosts` rules of `headers` headers, of names and values of these lengths. */
static char *many_rules(int hosts, int headers, int name_n, int value_n)
{
    static char body[1 << 20];
    int n = snprintf(body, sizeof body, "{\"templateID\":\"b\",\"network\":{\"rules\":{");

    for (int h = 0; h < hosts; h++) {
        n += snprintf(body + n, sizeof body - (size_t)n,
                      "%s\"h%d.com\":[{\"transform\":{\"headers\":{", h ? "," : "", h);
        for (int i = 0; i < headers; i++)
            n += snprintf(body + n, sizeof body - (size_t)n, "%s\"%0*d\":\"%0*d\"",
                          i ? "," : "", name_n, i, value_n, 7);
        n += snprintf(body + n, sizeof body - (size_t)n, "}}}]");
    }
    (void)snprintf(body + n, sizeof body - (size_t)n, "}}}");
    return body;
}

static void limits_of_rules_hold_exactly(void **state)
{
    (void)state;
    AUTO_CREATE_REQUEST struct create_request full =
        parsed(CREATE_V2, many_rules(10, 20, 3, 100));
    AUTO_CREATE_REQUEST struct create_request wide =
        parsed(CREATE_V2, many_rules(1, 7, 64, 2048));
    AUTO_CREATE_REQUEST struct create_request large =
        parsed(CREATE_V2, many_rules(1, 16, 24, 1000));
    assert_int_equal(full.network.n_transforms, TRANSFORM_MAX);
    assert_int_equal(wide.network.n_transforms, 7);
    assert_int_equal(large.network.n_transforms, 16); /* 16384 bytes */
    refuses_quietly(many_rules(11, 1, 3, 3), "at most 10 domains");
    refuses_quietly(many_rules(1, 21, 3, 3), "at most 20 headers");
    refuses_quietly(many_rules(1, 1, 65, 3), "1 to 64 characters");
    refuses_quietly(many_rules(1, 1, 3, 2049), "1 to 2048");
    refuses_quietly(many_rules(1, 16, 25, 1000), "at most 16384 bytes");
}

static void the_way_in_is_of_the_create_alone(void **state)
{
    AUTO_CREATE_REQUEST struct create_request r =
        parsed(CREATE_V2, "{\"templateID\":\"b\",\"network\":{\"allowPublicTraffic\":false,"
                          "\"maskRequestHost\":\"localhost:${PORT}\"}}");
    AUTO_NETWORK_WISH struct network_wish w = { 0 };
    struct create_request bad = { 0 };
    struct err e = { 0 };

    (void)state;
    assert_true(r.network.is_private);
    assert_string_equal(r.network.mask_host, "localhost:${PORT}");
    assert_string_equal(r.network.text,
                        "{\"allowOut\":[],\"denyOut\":[],\"allowPublicTraffic\":false,"
                        "\"maskRequestHost\":\"localhost:${PORT}\"}");
    assert_int_equal(
        create_request_parse(STR("{\"templateID\":\"b\",\"secure\":false,\"network\":"
                                 "{\"allowPublicTraffic\":false}}"),
                             CREATE_V1, 100, &bad, &e),
        -EINVAL);
    assert_non_null(strstr(e.text, "secure"));
    json_t *update = json_parse(STR("{\"maskRequestHost\":\"a\"}"), &e);
    assert_int_equal(network_wish_parse(update, NETWORK_UPDATE, "", INTERNET_UNSET, &w, &e),
                     -EINVAL);
    json_decref(update);
    assert_int_equal(network_wish_parse(NULL, NETWORK_UPDATE, "", INTERNET_UNSET, &w, &e), 0);
    assert_int_equal(network_wish_keep_ingress(&w, &r.network), 0);
    assert_true(w.is_private);
    assert_string_equal(w.text, r.network.text);
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
    refuses("{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"a b\"}}",
            "network.maskRequestHost");
    refuses("{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"a\\r\\nX: y\"}}",
            "network.maskRequestHost");
    refuses("{\"templateID\":\"b\",\"network\":{\"httpsPorts\":[443]}}", "network.httpsPorts");
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
        cmocka_unit_test(headers_of_rules_arrive_and_their_values_are_not_told),
        cmocka_unit_test(what_is_no_rule_is_refused_by_name_and_without_its_value),
        cmocka_unit_test(limits_of_rules_hold_exactly),
        cmocka_unit_test(the_way_in_is_of_the_create_alone),
        cmocka_unit_test(a_tag_that_no_template_has_is_told_apart),
        cmocka_unit_test(what_is_no_template_reference_is_refused),
        cmocka_unit_test(wrong_types_and_ranges_are_refused_by_name),
        cmocka_unit_test(what_cannot_be_had_is_refused_by_name),
        cmocka_unit_test(an_empty_body_counts_where_it_may),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
