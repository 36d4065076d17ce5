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
#include "e2b-sandbox/routing.h"

#define ID "i0123456789abcdefghi"

static const struct routing_hosts own = { { "box.example" }, 1 };

/* Decides for a request with this Host and these two headers (NULL: absent). */
static struct routing decide(const char *host, const char *id, const char *port)
{
    struct http1_head head = { 0 };
    struct routing to;

    head.host = str_from(host);
    if (id)
        head.header[head.n_headers++] =
            (struct http1_header){ STR("e2b-sandbox-id"), str_from(id) };
    if (port)
        head.header[head.n_headers++] =
            (struct http1_header){ STR("E2B-SANDBOX-PORT"), str_from(port) };
    routing_decide(&head, &own, &to);
    return to;
}

static void goes_to(struct routing to, const char *id, uint32_t port)
{
    assert_int_equal(to.kind, ROUTING_SANDBOX);
    assert_string_equal(to.id, id);
    assert_int_equal(to.port, port);
}

static void is_refused(struct routing to, const char *word)
{
    assert_int_equal(to.kind, ROUTING_BAD);
    if (!strstr(to.why, word))
        fail_msg("'%s' does not say '%s'", to.why, word);
}

static void headers_choose_under_addresses_and_own_names(void **state)
{
    static const char *const host[] = {
        "localhost",   "localhost:7070", "127.0.0.1:7070",  "10.1.2.3",          "[::1]:7070",
        "[fe80::1]",   "e2b-sandbox",    "sandbox.e2b.app", "SANDBOX.test:8443", "",
        "box.example", "BOX.example:1",  "localhost."
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(host); i++)
        goes_to(decide(host[i], ID, "49983"), ID, 49983);
}

static void headers_do_not_choose_under_a_foreign_name(void **state)
{
    static const char *const host[] = { "rebound.example",        "api.e2b.app",
                                        "127.0.0.1.evil.example", "localhost.evil.example",
                                        "box.example.evil",       "my-host.example" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        is_refused(decide(host[i], ID, "49983"), "Host");
        assert_int_equal(decide(host[i], NULL, NULL).kind, ROUTING_CONTROL);
    }
}

static void the_left_most_label_of_a_host_names_port_and_sandbox(void **state)
{
    (void)state;
    goes_to(decide("8000-" ID ".sandbox.test", NULL, NULL), ID, 8000);
    goes_to(decide("8000-" ID ".sandbox.test:8443", NULL, NULL), ID, 8000);
    goes_to(decide("1-a.d", NULL, NULL), "a", 1);
    goes_to(decide("65535-ABC.d", NULL, NULL), "abc", 65535);
}

static void a_host_that_names_a_sandbox_wins_over_headers(void **state)
{
    (void)state;
    goes_to(decide("8000-a.d", "b", "9000"), "a", 8000);
    goes_to(decide("8000-a.d", "b", NULL), "a", 8000);
}

static void half_a_pair_of_headers_is_refused_by_the_name_of_the_other(void **state)
{
    (void)state;
    is_refused(decide("localhost", ID, NULL), "E2b-Sandbox-Port is missing");
    is_refused(decide("localhost", NULL, "80"), "E2b-Sandbox-Id is missing");
}

static void a_header_given_twice_is_refused(void **state)
{
    struct http1_head head = { .host = STR("localhost"), .n_headers = 3 };
    struct routing to;

    (void)state;
    head.header[0] = (struct http1_header){ STR("E2b-Sandbox-Id"), STR("a") };
    head.header[1] = (struct http1_header){ STR("E2b-Sandbox-Port"), STR("80") };
    head.header[2] = (struct http1_header){ STR("E2b-Sandbox-Id"), STR("b") };
    routing_decide(&head, &own, &to);
    is_refused(to, "once");
}

static void what_is_no_port_or_id_is_refused(void **state)
{
    static const char *const port[] = { "",     "0",   "65536", "-1",  "+1",
                                        "0x50", "1e3", "80 ",   " 80", "99999999999999999999" };
    static const char *const id[] = {
        "",     "A",   "a-b", "a.b",
        "../x", "a/b", "a b", "0123456789012345678901234567890123456789012345678901234567890123"
    };
    static const char *const host[] = { "8000-.d",    "70000-a.d",  "0-a.d",
                                        "8000-a_b.d", "8000-a-b.d", "x-" ID ".d" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(port); i++)
        is_refused(decide("localhost", "a", port[i]), "port");
    for (size_t i = 0; i < ARRAY_LEN(id); i++)
        is_refused(decide("localhost", id[i], "80"), "id");
    for (size_t i = 0; i < ARRAY_LEN(host); i++)
        assert_int_equal(decide(host[i], NULL, NULL).kind, ROUTING_BAD);
}

static void a_host_longer_than_a_name_is_refused(void **state)
{
    char host[300];

    (void)state;
    memset(host, 'a', sizeof host);
    host[256] = 0;
    is_refused(decide(host, NULL, NULL), "Host");
    host[255] = 0;
    assert_int_equal(decide(host, NULL, NULL).kind, ROUTING_CONTROL);
}

static void every_spelling_of_an_internal_path_is_found(void **state)
{
    static const char *const path[] = {
        "/init",     "/init/",       "//init",         "/./init",     "/x/../init", "/../init",
        "/%69nit",   "/ini%74",      "/%2569nit",      "/%252569nit", "/INIT",      "/Init/x",
        "/init;x",   "/init%3fx",    "/init%20",       "/init%09",    "/\\init",    "/%5cinit",
        "/%2finit",  "/%2e%2e/init", "/a%2f..%2finit", "/freeze",     "/unfreeze",  "/collapse",
        "/fsfreeze", "/fsthaw",      "/upgrade",       "/init%23"
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(path); i++)
        if (routing_is_internal_path(str_from(path[i])) != 1)
            fail_msg("%s gets through", path[i]);
}

static void other_paths_are_not_internal(void **state)
{
    static const char *const path[] = { "/",         "",         "/health",
                                        "/files",    "/initial", "/x/init",
                                        "/init/..",  "/reinit",  "/process.Process/Start",
                                        "/files%25", "/in%20it" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(path); i++)
        if (routing_is_internal_path(str_from(path[i])) != 0)
            fail_msg("%s is refused", path[i]);
}

static void a_path_that_cannot_be_decoded_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(routing_is_internal_path(STR("/init%")), -EINVAL);
    assert_int_equal(routing_is_internal_path(STR("/%zz")), -EINVAL);
    assert_int_equal(routing_is_internal_path(STR("/init%00")), -EINVAL);
}

static void the_process_service_is_known_however_it_is_spelled(void **state)
{
    static const char *const yes[] = {
        "/process.Process/Start",     "/process.Process/Connect",    "//process.Process//Start",
        "/process%2eProcess/Start",   "/%70rocess.Process/Start",    "/process.Process%2fStart",
        "/process%252eProcess/Start", "/x/../process.Process/Start", "/./process.process/start",
        "/process.Process;x/Start",   "\\process.Process\\Start",    "/process.Process",
    };
    static const char *const no[] = { "/",
                                      "/files",
                                      "/process",
                                      "/health",
                                      "/processes.Process/Start",
                                      "/filesystem.Filesystem/List",
                                      "/a/process.Process/Start" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_int_equal(routing_is_process_path(str_from(yes[i])), 1);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_int_equal(routing_is_process_path(str_from(no[i])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_service_is_known_however_it_is_spelled),
        cmocka_unit_test(headers_choose_under_addresses_and_own_names),
        cmocka_unit_test(headers_do_not_choose_under_a_foreign_name),
        cmocka_unit_test(the_left_most_label_of_a_host_names_port_and_sandbox),
        cmocka_unit_test(a_host_that_names_a_sandbox_wins_over_headers),
        cmocka_unit_test(half_a_pair_of_headers_is_refused_by_the_name_of_the_other),
        cmocka_unit_test(a_header_given_twice_is_refused),
        cmocka_unit_test(what_is_no_port_or_id_is_refused),
        cmocka_unit_test(a_host_longer_than_a_name_is_refused),
        cmocka_unit_test(every_spelling_of_an_internal_path_is_found),
        cmocka_unit_test(other_paths_are_not_internal),
        cmocka_unit_test(a_path_that_cannot_be_decoded_is_an_error),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
