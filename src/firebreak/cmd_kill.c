/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak kill: ends sandboxes. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"

static int kill_one(const struct api *api, const char *id, struct err *e)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    char target[API_SANDBOX_ID_MAX + 16];

    (void)snprintf(target, sizeof target, "/sandboxes/%s", id);
    int rc = api_expect(api, "DELETE", target, NULL, &answer, e);
    if (rc == 0)
        (void)printf("killed %s\n", id);
    return rc;
}

/* Collected first and killed then: pages of a list that shrinks meanwhile would be skipped. */
static int collect(json_t *row, void *arg)
{
    struct buf *ids = arg;
    const char *id = json_string_value(json_object_get(row, "sandboxID"));

    if (id && api_is_sandbox_id(id)) {
        buf_add_cstr(ids, id);
        buf_add_char(ids, '\0');
    }
    return buf_ok(ids) ? 0 : -ENOMEM;
}

static int kill_all(const struct api *api)
{
    AUTO_BUF struct buf ids = BUF_INIT(1u << 20);
    struct err e = { .text = "too many sandboxes" };
    int status = CLI_OK;

    if (api_each_sandbox(api, collect, &ids, &e) < 0)
        return cli_fail(&e, api_hint(&e));
    for (size_t at = 0; at < ids.n; at += strlen(ids.p + at) + 1)
        if (kill_one(api, ids.p + at, &e) < 0 && e.code != ENOENT)
            status = cli_fail(&e, api_hint(&e)); /* gone meanwhile is what was asked for */
    return status;
}

static int kill_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "all", no_argument, NULL, 'a' },
        { "all-owners", no_argument, NULL, 'o' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct place place = { 0 };
    struct api api;
    struct err e;
    bool all = false, all_owners = false;
    int o, status = CLI_OK;

    while ((o = cli_next_option(&cmd_kill, argc, argv, "", options)) >= 0) {
        if (o == 'a')
            all = true;
        else if (o == 'o')
            all_owners = true;
        else
            (void)place_option(&place, o, optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (all == (optind < argc))
        return cli_usage_error(&cmd_kill, "name sandboxes, or give --all");
    for (int i = optind; i < argc; i++)
        if (!api_is_sandbox_id(argv[i]))
            return cli_usage_error(&cmd_kill, "'%s' is not a sandbox id", argv[i]);
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_kill, "%s", e.text);

    if (api_open(&api, &place, &e) < 0)
        return cli_fail(&e, api_hint(&e));
    api.all_owners = all_owners;
    if (all)
        status = kill_all(&api);
    for (int i = optind; i < argc; i++)
        if (kill_one(&api, argv[i], &e) < 0)
            status = cli_fail(&e, e.code == ENOENT ? "firebreak ps lists those that run"
                                                   : api_hint(&e));
    api_close(&api);
    return cli_finish_stdout(status);
}

const struct cli_command cmd_kill = {
    .name = "kill",
    .summary = "End sandboxes",
    .usage = "ID...|--all [--all-owners]",
    .help = "  --all             every sandbox of one's own\n"
            "  --all-owners      not only one's own; needs a key with admin\n" PLACE_HELP,
    .run = kill_run,
};
