/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak key: API keys of the instance. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "codec/json.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"
#include "firebreak/credentials.h"

struct wish {
    json_t *body; /* of POST /admin/keys */
    bool json;
};

static int add_cap(json_t *body, const char *name)
{
    json_t *list = json_object_get(body, "capabilities");

    if (!list) {
        list = json_array();
        if (json_object_set_new(body, "capabilities", list) < 0)
            return -ENOMEM;
    }
    return json_array_append_new(list, json_string(name)) < 0 ? -ENOMEM : 0;
}

static int take_option(struct wish *w, struct place *p, int o, char *value, struct err *e)
{
    uint64_t seconds;
    int rc = 0;

    if (o == 'n' || o == 'o')
        rc = json_object_set_new(w->body, o == 'n' ? "name" : "owner", json_string(value));
    else if (o == 'c')
        rc = add_cap(w->body, value);
    else if (o == 'a')
        rc = json_object_set_new(w->body, "admin", json_true());
    else if (o == 'j')
        w->json = true;
    else if (o == 'e' && credentials_parse_span(value, &seconds) == 0)
        rc = json_object_set_new(w->body, "expiresIn", json_integer((json_int_t)seconds));
    else if (o == 'e')
        return err_say(e, EINVAL, "--expires takes seconds, or a number with m, h or d");
    else
        (void)place_option(p, o, value);
    return rc < 0 ? err_say(e, EINVAL, "'%s' cannot be sent", value) : 0;
}

static int issue(const struct api *api, const struct wish *w, struct err *e)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    int rc = api_expect(api, "POST", "/admin/keys", w->body, &r, e);

    if (rc < 0)
        return rc;
    const char *key = json_string_value(json_object_get(r.json, "key"));
    if (!key)
        return err_say(e, EPROTO, "the answer holds no key");
    if (w->json) {
        credentials_print_json(r.json);
        return 0;
    }
    (void)printf("%s\n", key);
    (void)fputs("key ", stderr);
    cli_print_safe(stderr, credentials_text(r.json, "id"));
    (void)fputs(" of owner ", stderr);
    cli_print_safe(stderr, credentials_text(r.json, "owner"));
    (void)fputs("; it is shown this once\n", stderr);
    return 0;
}

static int issue_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "owner", required_argument, NULL, 'o' },
        { "cap", required_argument, NULL, 'c' },
        { "admin", no_argument, NULL, 'a' },
        { "expires", required_argument, NULL, 'e' },
        { "json", no_argument, NULL, 'j' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    AUTO_JSON json_t *body = json_object();
    struct wish w = { .body = body };
    struct place place = { 0 };
    struct err e = { 0 };
    int o;

    while ((o = cli_next_option(&cmd_key, argc, argv, "", options)) >= 0)
        if (take_option(&w, &place, o, optarg, &e) < 0)
            return cli_usage_error(&cmd_key, "%s", e.text);
    if (cli_options_ended(o) >= 0)
        return cli_options_ended(o);
    if (optind < argc)
        return cli_usage_error(&cmd_key, "unexpected argument '%s'", argv[optind]);
    struct api api;
    int rc = credentials_open(&api, &place, &e);
    if (rc == 0)
        rc = issue(&api, &w, &e);
    api_close(&api);
    return rc < 0 ? cli_fail(&e, api_hint(&e)) : cli_finish_stdout(CLI_OK);
}

static void print_row(const json_t *row)
{
    credentials_cell(credentials_text(row, "id"), 14);
    credentials_cell(credentials_text(row, "name"), 16);
    credentials_cell(credentials_text(row, "owner"), 16);
    credentials_cell(credentials_text(row, "state"), 8);
    credentials_cell(credentials_text(row, "expiresAt"), 20);
    credentials_print_caps(row);
}

static int list_run(int argc, char **argv)
{
    return credentials_list(&cmd_key, argc, argv, "/admin/keys",
                            "ID              NAME              OWNER             STATE     "
                            "EXPIRES               MAY\n",
                            print_row, "no API key");
}

static int revoke_run(int argc, char **argv)
{
    return credentials_delete(&cmd_key, argc, argv, "/admin/keys/",
                              "an id, as 'key list' has it", "revoked");
}

static int key_run(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "issue") == 0)
        return issue_run(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "list") == 0)
        return list_run(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "revoke") == 0)
        return revoke_run(argc - 1, argv + 1);
    return credentials_no_command(&cmd_key, argc, argv, "issue, list or revoke");
}

const struct cli_command cmd_key = {
    .name = "key",
    .summary = "Issue, list and revoke API keys",
    .usage =
        "issue [--name NAME] [--owner OWNER] [--cap CAPABILITY]... [--admin] [--expires SPAN] "
        "[--json] | list [--json] | revoke ID",
    .help =
        "  issue             makes a key and prints it, this once\n"
        "    --name NAME     for the list\n"
        "    --owner OWNER   whose sandboxes it makes and sees (default: default)\n"
        "    --cap C         what it may do: execute:LANGUAGE, network:egress, "
        "desktop:access,\n"
        "                    surf:start, spell:execute, artifact:upload, admin; repeat it for\n"
        "                    more. Without any: everything but admin\n"
        "    --admin         admin as well\n"
        "    --expires SPAN  seconds, or a number with m, h or d (default: never)\n"
        "  list              all of them; none is shown\n"
        "  revoke ID         ends it, what it has open in sandboxes, and the access tokens "
        "that\n"
        "                    it was told\n"
        "  --json            what the API says\n" PLACE_HELP,
    .run = key_run,
};
