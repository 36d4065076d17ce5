/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak check-invariants: is everything of this instance where it belongs, and nothing of a dead sandbox left? */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/json.h"
#include "firebreak/cli.h"
#include "firebreak/invariants.h"
#include "firebreak/place.h"

#define LOOK_PERIOD_NS (300 * NS_PER_MS)
#define SETTLE_MS      300u
#define SETTLE_MS_MAX  60000u
#define REPORT_MAX     (16u << 20)
#define SHOWN_MAX      20u /* findings of one invariant in the text */

/* What is known when the looks are over. */
struct verdict {
    struct findings findings; /* in every look */
    unsigned looks;
    size_t n_sandboxes, n_processes;
    pid_t warden, api; /* 0: does not run */
};

static bool is_in(const struct findings *f, const struct finding *one)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->at[i].invariant == one->invariant && strcmp(f->at[i].subject, one->subject) == 0)
            return true;
    return false;
}

/* Keeps of `f` what `again` found, too. */
static void keep_common(struct findings *f, const struct findings *again)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n; i++)
        if (is_in(again, &f->at[i]))
            f->at[kept++] = f->at[i];
    f->n = kept;
}

static int look_once(struct verdict *v, const struct sight_options *o, struct findings *out,
                     struct err *e)
{
    struct sight s;
    int rc = sight_look(&s, o, e);

    if (rc == 0) {
        const struct sight_process *warden = sight_daemon(&s, ROLE_WARDEN);
        const struct sight_process *api = sight_daemon(&s, ROLE_API);
        invariants_check(&s, o->stopped, out);
        v->looks++;
        v->n_sandboxes = s.record.n;
        v->n_processes = s.process.n;
        v->warden = warden ? warden->pid : 0;
        v->api = api ? api->pid : 0;
        if (out->cut)
            rc = err_set(e, ENOMEM, "note what was found");
    }
    sight_fini(&s);
    return rc;
}

/* Looks until nothing is left of what the first look found, or the time is over. */
static int look(struct verdict *v, const struct sight_options *o, uint64_t settle_ns,
                struct err *e)
{
    uint64_t begun_ns = clock_mono_ns();
    int rc = look_once(v, o, &v->findings, e);

    while (rc == 0 && v->findings.n > 0 &&
           (v->looks < 2 || clock_mono_ns() - begun_ns < settle_ns)) {
        struct findings again = { 0 };
        const struct timespec nap = { .tv_nsec = (long)LOOK_PERIOD_NS };
        (void)nanosleep(&nap, NULL); /* a signal that is not deadly is none of ours */
        rc = look_once(v, o, &again, e);
        if (rc == 0)
            keep_common(&v->findings, &again);
        findings_fini(&again);
    }
    return rc;
}

static unsigned count(const struct findings *f, unsigned invariant)
{
    unsigned n = 0;

    for (size_t i = 0; i < f->n; i++)
        n += f->at[i].invariant == invariant;
    return n;
}

static void print_text(const struct verdict *v, const struct sight_options *o)
{
    bool colour = cli_colour(STDOUT_FILENO);

    for (unsigned i = 0; i < invariants_n; i++) {
        unsigned n = count(&v->findings, i), shown = 0;
        if (invariants[i].when_stopped && !o->stopped)
            continue;
        (void)printf("%s%s%s  %-25s %s\n",
                     !colour ? ""
                     : n     ? "\033[31m"
                             : "\033[32m",
                     n ? "FAIL" : "PASS", colour ? "\033[0m" : "", invariants[i].id,
                     invariants[i].sentence);
        for (size_t k = 0; k < v->findings.n && shown < SHOWN_MAX; k++) {
            if (v->findings.at[k].invariant != i)
                continue;
            (void)printf("      %-25s -> ", "");
            cli_print_safe(stdout, v->findings.at[k].evidence);
            (void)putchar('\n');
            shown++;
        }
        if (n > shown)
            (void)printf("      %-25s    and %u more\n", "", n - shown);
    }
    (void)printf("\ninstance %s: %zu sandboxes, %zu processes, %u looks, %zu violations\n",
                 o->place.instance, v->n_sandboxes, v->n_processes, v->looks, v->findings.n);
}

static int print_json(const struct verdict *v, const struct sight_options *o)
{
    AUTO_BUF struct buf out = BUF_INIT(REPORT_MAX);

    buf_addf(&out,
             "{\"ok\":%s,\"instance\":\"%s\",\"looks\":%u,\"sandboxes\":%zu,\"processes\":%zu,"
             "\"wardenPid\":%d,\"apiPid\":%d,\"invariants\":[",
             v->findings.n ? "false" : "true", o->place.instance, v->looks, v->n_sandboxes,
             v->n_processes, (int)v->warden, (int)v->api);
    const char *separator = "";
    for (unsigned i = 0; i < invariants_n; i++) {
        if (invariants[i].when_stopped && !o->stopped)
            continue;
        buf_addf(&out, "%s{\"id\":\"%s\",\"sentence\":", separator, invariants[i].id);
        json_write_str(&out, str_from(invariants[i].sentence));
        buf_addf(&out, ",\"holds\":%s,\"evidence\":[",
                 count(&v->findings, i) ? "false" : "true");
        const char *comma = "";
        for (size_t k = 0; k < v->findings.n; k++) {
            if (v->findings.at[k].invariant != i)
                continue;
            buf_add_cstr(&out, comma);
            json_write_str(&out, str_from(v->findings.at[k].evidence));
            comma = ",";
        }
        buf_add_cstr(&out, "]}");
        separator = ",";
    }
    buf_add_cstr(&out, "]}\n");
    if (!buf_ok(&out)) {
        (void)fputs("firebreak: the report is too large\n", stderr);
        return CLI_FAILED;
    }
    (void)fwrite(out.p, 1, out.n, stdout); /* cli_finish_stdout tells whether it worked */
    return CLI_OK;
}

enum { OPT_UID_BASE = 256, OPT_MAX, OPT_STOPPED, OPT_SETTLE };

/* True if the option was one of ours and its value good. */
static bool take_option(struct sight_options *so, uint64_t *settle_ms, int o)
{
    uint64_t v;

    switch (o) {
    case OPT_STOPPED:
        so->stopped = true;
        return true;
    case OPT_UID_BASE:
        if (num_parse_u64(str_from(optarg), UIDS_PER_SANDBOX, UINT32_MAX, &v) < 0)
            return false;
        so->uid_base = (uint32_t)v;
        return true;
    case OPT_MAX:
        if (num_parse_u64(str_from(optarg), 1, SIGHT_SLOTS_MAX, &v) < 0)
            return false;
        so->max_sandboxes = (uint32_t)v;
        return true;
    case OPT_SETTLE:
        return num_parse_u64(str_from(optarg), 0, SETTLE_MS_MAX, settle_ms) == 0;
    default:
        return place_option(&so->place, o, optarg);
    }
}

static int report(const struct sight_options *so, uint64_t settle_ms, bool json)
{
    struct verdict v = { 0 };
    struct err e = { 0 };
    int status;

    if (look(&v, so, settle_ms * NS_PER_MS, &e) < 0)
        status = cli_fail(&e, NULL);
    else {
        status = v.findings.n ? CLI_FAILED : CLI_OK;
        if (!json)
            print_text(&v, so);
        else if (print_json(&v, so) != CLI_OK)
            status = CLI_FAILED;
        status = cli_finish_stdout(status);
    }
    findings_fini(&v.findings);
    return status;
}

static int check_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "stopped", no_argument, NULL, OPT_STOPPED },
        { "settle-ms", required_argument, NULL, OPT_SETTLE },
        { "uid-base", required_argument, NULL, OPT_UID_BASE },
        { "max-sandboxes", required_argument, NULL, OPT_MAX },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct sight_options so = { .max_sandboxes = 64 };
    uint64_t settle_ms = SETTLE_MS;
    struct err e;
    bool json = false;
    int o;

    while ((o = cli_next_option(&cmd_check_invariants, argc, argv, "", options)) >= 0) {
        if (o == 'j')
            json = true;
        else if (!take_option(&so, &settle_ms, o))
            return cli_usage_error(&cmd_check_invariants, "'%s' is not a number in its range",
                                   optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (optind < argc)
        return cli_usage_error(&cmd_check_invariants, "unexpected argument '%s'", argv[optind]);
    if (place_resolve(&so.place, &e) < 0)
        return cli_usage_error(&cmd_check_invariants, "%s", e.text);
    if (so.uid_base == 0)
        so.uid_base = (uint32_t)place_uid_base(so.place.instance);
    if (geteuid() != 0) {
        (void)err_say(&e, EPERM, "the processes and records of sandboxes are for root to see");
        return cli_fail(&e, "run: sudo firebreak check-invariants");
    }
    return report(&so, settle_ms, json);
}

const struct cli_command cmd_check_invariants = {
    .name = "check-invariants",
    .summary = "Check from outside that an instance is whole and leaks nothing",
    .usage = "[OPTIONS]",
    .help =
        "  --json            one JSON object: ok, instance, looks, sandboxes, processes, "
        "wardenPid, apiPid,\n"
        "                    invariants (id, sentence, holds, evidence)\n"
        "  --stopped         the instance has been stopped: nothing at all may be left\n"
        "  --settle-ms N     a violation is what every look finds for so long (default: 300, "
        "two looks)\n"
        "  --uid-base N, --max-sandboxes N\n"
        "                    as for 'up', if the warden does not run to tell\n" PLACE_HELP
        "\nReads /proc, /sys, the warden's records and the registry; changes nothing. Exit "
        "status "
        "0: all hold,\n1: a violation, with its evidence.\n",
    .run = check_run,
};
