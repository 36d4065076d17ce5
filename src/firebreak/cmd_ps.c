/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak ps: the sandboxes that are there. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"

struct list {
    const struct api *api;
    json_t *rows; /* --json: all of them; else NULL */
    uint64_t now_ns;
    size_t n;
};

/* "3m05s" from now; "-" if the time cannot be read. */
static void span_text(uint64_t from_ns, uint64_t to_ns, char out[24])
{
    uint64_t s = to_ns > from_ns ? (to_ns - from_ns) / NS_PER_S : 0;

    if (s >= 3600)
        (void)snprintf(out, 24, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        (void)snprintf(out, 24, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else
        (void)snprintf(out, 24, "%" PRIu64 "s", s);
}

static const char *text_of(const json_t *row, const char *field)
{
    const char *s = json_string_value(json_object_get(row, field));

    return s && *s ? s : "-";
}

static void print_cell(const char *s, int width)
{
    char cut[64];

    (void)snprintf(cut, sizeof cut, "%s", s);
    for (char *c = cut; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    (void)printf("%-*s  ", width, cut);
}

/* How it is isolated: the word is in the row, or else in what the API tells about that sandbox alone. */
static const char *isolation_kind(const json_t *row)
{
    const json_t *v = json_object_get(row, "isolation");
    const char *kind = json_is_object(v) ? json_string_value(json_object_get(v, "kind"))
                                         : json_string_value(v);

    return kind && *kind ? kind : NULL;
}

static void print_isolation(const struct list *l, const json_t *row)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    const char *id = text_of(row, "sandboxID"), *kind = isolation_kind(row);
    char target[API_SANDBOX_ID_MAX + 16];
    struct err ignored;

    if (!kind && api_is_sandbox_id(id)) {
        (void)snprintf(target, sizeof target, "/sandboxes/%s", id);
        if (api_expect(l->api, "GET", target, NULL, &answer, &ignored) ==
            0) /* it may have ended by now */
            kind = isolation_kind(answer.json);
    }
    cli_print_safe(stdout, kind ? kind : "-");
    (void)putchar('\n');
}

static int add_row(json_t *row, void *arg)
{
    struct list *l = arg;
    char age[24] = "-", left[24] = "-", size[32];
    uint64_t started_ns, end_ns;

    l->n++;
    if (l->rows)
        return json_array_append(l->rows, row) == 0 ? 0 : -ENOMEM;
    if (l->n == 1)
        (void)printf("%-22s%-16s%-10s%-10s%-10s%-16s%s\n", "SANDBOX", "TEMPLATE", "STATE",
                     "AGE", "ENDS IN", "CPU/MEMORY", "ISOLATION");
    if (clock_parse_rfc3339(text_of(row, "startedAt"), &started_ns) == 0)
        span_text(started_ns, l->now_ns, age);
    if (clock_parse_rfc3339(text_of(row, "endAt"), &end_ns) == 0)
        span_text(l->now_ns, end_ns, left);
    (void)snprintf(size, sizeof size, "%lld/%lld MiB",
                   (long long)json_integer_value(json_object_get(row, "cpuCount")),
                   (long long)json_integer_value(json_object_get(row, "memoryMB")));
    const char *alias = json_string_value(json_object_get(row, "alias"));
    print_cell(text_of(row, "sandboxID"), 20);
    print_cell(alias ? alias : text_of(row, "templateID"), 14);
    print_cell(text_of(row, "state"), 8);
    print_cell(age, 8);
    print_cell(left, 8);
    print_cell(size, 14);
    print_isolation(l, row);
    return 0;
}

static int ps_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "all-owners", no_argument, NULL, 'o' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    AUTO_JSON json_t *rows = NULL;
    struct place place = { 0 };
    struct api api;
    struct err e;
    bool json = false, all_owners = false;
    int o;

    while ((o = cli_next_option(&cmd_ps, argc, argv, "", options)) >= 0) {
        if (o == 'j')
            json = true;
        else if (o == 'o')
            all_owners = true;
        else
            (void)place_option(&place, o, optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (optind < argc)
        return cli_usage_error(&cmd_ps, "unexpected argument '%s'", argv[optind]);
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_ps, "%s", e.text);

    if (json)
        rows = json_array();
    struct list list = { .api = &api, .rows = rows, .now_ns = clock_real_ns() };
    int rc = api_open(&api, &place, &e);
    api.all_owners = all_owners;
    if (rc == 0)
        rc = api_each_sandbox(&api, add_row, &list, &e);
    api_close(&api);
    if (rc < 0)
        return cli_fail(&e, api_hint(&e));
    if (rows)
        (void)json_dumpf(rows, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    if (rows || list.n == 0)
        (void)fputs(rows ? "\n" : "no sandbox is running\n", stdout);
    return cli_finish_stdout(CLI_OK);
}

const struct cli_command cmd_ps = {
    .name = "ps",
    .summary = "List the sandboxes",
    .usage = "[--json] [--all-owners]",
    .help = "  --json            print what the API says, as a JSON array\n"
            "  --all-owners      not only one's own; needs a key with admin\n" PLACE_HELP,
    .run = ps_run,
};
