/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak info: what is known about one sandbox, and above all how it is isolated. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "codec/json.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"

#define NESTING_MAX 6u
#define COLUMN      36 /* where values begin */

static void print_scalar(const json_t *v)
{
    if (json_is_string(v))
        cli_print_safe(stdout, json_string_value(v));
    else if (json_is_integer(v))
        (void)printf("%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)printf("%g", json_real_value(v));
    else
        (void)fputs(json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-", stdout);
    (void)putchar('\n');
}

/* One line per field; objects and arrays indented below their name. The report may grow without this program changing. */
static void print_tree(const char *name, json_t *v, unsigned depth)
{
    if (depth > NESTING_MAX)
        return;
    (void)printf("%*s", (int)depth * 2, "");
    int width = COLUMN - (int)depth * 2;
    size_t n = strlen(name);
    cli_print_safe(stdout, name);
    if (!json_is_object(v) && !json_is_array(v)) {
        (void)printf("%*s", n < (size_t)width ? width - (int)n : 1, "");
        print_scalar(v);
        return;
    }
    (void)putchar('\n');
    const char *key;
    json_t *child;
    json_object_foreach(v, key, child) print_tree(key, child, depth + 1);
    size_t i;
    json_array_foreach(v, i, child) print_tree("-", child, depth + 1);
}

static void print_report(json_t *detail)
{
    json_t *isolation = json_object_get(detail, "isolation");
    const char *key;
    json_t *v;

    json_object_foreach(detail, key, v)
    {
        /* The token opens the sandbox: it does not belong on a screen. */
        if (v != isolation && strcmp(key, "envdAccessToken") != 0 && !json_is_null(v) &&
            !(json_is_object(v) && json_object_size(v) == 0) &&
            !(json_is_array(v) && json_array_size(v) == 0))
            print_tree(key, v, 0);
    }
    if (isolation)
        print_tree("isolation", isolation, 0);
    else
        (void)fputs("isolation: the API tells nothing about it\n", stdout);
}

static int info_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    char target[API_SANDBOX_ID_MAX + 16];
    struct place place = { 0 };
    struct api api;
    struct err e;
    bool json = false;
    int o;

    while ((o = cli_next_option(&cmd_info, argc, argv, "", options)) >= 0) {
        if (o == 'j')
            json = true;
        else
            (void)place_option(&place, o, optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (argc - optind != 1)
        return cli_usage_error(&cmd_info, "name one sandbox");
    if (!api_is_sandbox_id(argv[optind]))
        return cli_usage_error(&cmd_info, "'%s' is not a sandbox id", argv[optind]);
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_info, "%s", e.text);

    (void)snprintf(target, sizeof target, "/sandboxes/%s", argv[optind]);
    int rc = api_open(&api, &place, &e);
    if (rc == 0)
        rc = api_expect(&api, "GET", target, NULL, &answer, &e);
    api_close(&api);
    if (rc < 0)
        return cli_fail(&e, rc == -ENOENT ? "firebreak ps lists those that run" : api_hint(&e));
    (void)json_object_del(answer.json, "envdAccessToken");
    if (json) {
        (void)json_dumpf(answer.json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        (void)putchar('\n');
    } else {
        print_report(answer.json);
    }
    return cli_finish_stdout(CLI_OK);
}

const struct cli_command cmd_info = {
    .name = "info",
    .summary = "Show one sandbox and how it is isolated",
    .usage = "[--json] ID",
    .help =
        "  --json            print what the API says (without the access token)\n" PLACE_HELP,
    .run = info_run,
};
