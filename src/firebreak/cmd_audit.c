/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak audit: looks at the record that recorder(8) keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "firebreak/audit.h"
#include "firebreak/cli.h"

#define LIMIT_MAX   1000000u
#define LIMIT_QUERY 1000u
#define LIMIT_TAIL  20u
#define REPORT_NS   (UINT64_C(7) * 86400 * NS_PER_S)

enum {
    OPT_DIR = 256,
    OPT_KEY,
    OPT_SINCE,
    OPT_UNTIL,
    OPT_TYPE,
    OPT_SANDBOX,
    OPT_USER,
    OPT_AGENT,
    OPT_ADDRESS,
    OPT_LIMIT,
    OPT_JSON,
};

static const struct option options[] = {
    { "dir", required_argument, NULL, OPT_DIR },
    { "public-key", required_argument, NULL, OPT_KEY },
    { "since", required_argument, NULL, OPT_SINCE },
    { "until", required_argument, NULL, OPT_UNTIL },
    { "type", required_argument, NULL, OPT_TYPE },
    { "sandbox", required_argument, NULL, OPT_SANDBOX },
    { "user", required_argument, NULL, OPT_USER },
    { "agent", required_argument, NULL, OPT_AGENT },
    { "address", required_argument, NULL, OPT_ADDRESS },
    { "limit", required_argument, NULL, OPT_LIMIT },
    { "follow", no_argument, NULL, 'f' },
    { "json", no_argument, NULL, OPT_JSON },
    PLACE_OPTIONS,
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

/* 0, or an exit status after saying what is wrong. */
static int take_option(struct audit_options *o, int c, char *value)
{
    uint64_t now_ns = clock_real_ns();
    int rc = 0;

    switch (c) {
    case OPT_DIR:
        o->dir = value;
        break;
    case OPT_KEY:
        o->public_key = value;
        break;
    case OPT_TYPE:
        o->type = value;
        break;
    case OPT_SANDBOX:
        o->sandbox = value;
        break;
    case OPT_USER:
        o->user = value;
        break;
    case OPT_AGENT:
        o->agent = value;
        break;
    case OPT_ADDRESS:
        o->address = value;
        break;
    case OPT_JSON:
        o->json = true;
        break;
    case 'f':
        o->follow = true;
        break;
    case OPT_SINCE:
        rc = audit_parse_when(value, now_ns, &o->since_ns);
        break;
    case OPT_UNTIL:
        rc = audit_parse_when(value, now_ns, &o->until_ns);
        break;
    case OPT_LIMIT:
    case 'n':
        rc = num_parse_u64(str_from(value), 1, LIMIT_MAX, &o->limit);
        break;
    default:
        (void)place_option(&o->place, c, value);
        break;
    }
    if (rc == 0)
        return 0;
    return cli_usage_error(&cmd_audit,
                           c == OPT_LIMIT || c == 'n'
                               ? "--limit takes 1 to 1000000, not '%s'"
                               : "a time is 7d, 24h, 30m, 90s or RFC 3339, not '%s'",
                           value);
}

static const struct verb {
    const char *name;
    int (*run)(const struct audit_options *o);
    uint64_t limit;
    bool has_operand;
} verbs[] = {
    { "verify", audit_verify, 1, false },       { "query", audit_query, LIMIT_QUERY, false },
    { "tail", audit_query, LIMIT_TAIL, false }, { "report", audit_report, 1, false },
    { "export", audit_export, 1, true },
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int open_record(struct audit_options *o, struct err *e)
{
    char path[PLACE_PATH_MAX + 16];

    if (place_resolve(&o->place, e) < 0)
        return -e->code;
    (void)snprintf(path, sizeof path, "%s/audit", o->place.state);
    const char *dir = o->dir ? o->dir : path;
    o->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return o->dir_fd < 0 ? err_set(e, errno, "open the record in '%s'", dir) : 0;
}

static int audit_run(int argc, char **argv)
{
    struct audit_options o = { .until_ns = UINT64_MAX, .dir_fd = -1 };
    struct err e = { 0 };
    int c;

    while ((c = cli_next_option(&cmd_audit, argc, argv, "fn:", options)) >= 0) {
        int bad = take_option(&o, c, optarg);
        if (bad != 0)
            return bad;
    }
    if (cli_options_ended(c) >= 0)
        return cli_options_ended(c);
    const struct verb *v = find_verb(argv[optind]);
    if (!v)
        return cli_usage_error(&cmd_audit, "say what: verify, query, tail, report or export");
    if (argc - optind != (v->has_operand ? 2 : 1))
        return cli_usage_error(
            &cmd_audit, v->has_operand ? "%s takes one directory" : "%s takes no argument",
            v->name);
    o.out = argv[optind + 1];
    if (o.limit == 0)
        o.limit = v->limit;
    if (v->run == audit_report && o.since_ns == 0)
        o.since_ns = clock_real_ns() - REPORT_NS;
    if (open_record(&o, &e) < 0)
        return cli_fail(&e, e.code == EACCES ? "run it as root" : NULL);
    int status = v->run(&o);
    (void)close(o.dir_fd);
    return status;
}

const struct cli_command cmd_audit = {
    .name = "audit",
    .summary = "Verify, search and copy the record of what happened",
    .usage = "verify|query|tail|report|export DIR [OPTIONS]",
    .help = "  verify            is it as it was written? names the first bad record of each "
            "stream\n"
            "  query             records, the newest last; --json: as they are in the files\n"
            "  tail              the last few, and with -f what comes\n"
            "  report            numbers of the last seven days (--since)\n"
            "  export DIR        a copy of all of it that can be verified elsewhere\n"
            "  --since, --until T  7d, 24h, 30m, 90s ago, or RFC 3339\n"
            "  --type NAME       an event, or with a final dot all that begin so (\"auth.\")\n"
            "  --sandbox, --user, --agent, --address X\n"
            "  --limit N, -n N   the newest N (query: 1000, tail: 20)\n"
            "  --follow, -f      go on with what comes\n"
            "  --public-key FILE verify heads with this key, not with the record's own\n"
            "  --dir DIR         a copy, instead of the instance's\n"
            "  --json            machine-readable\n" PLACE_HELP,
    .run = audit_run,
};
