/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak doctor: can sandboxes run here, and how well are they isolated? */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/num.h"
#include "codec/json.h"
#include "firebreak/cli.h"
#include "firebreak/doctor.h"

#define REPORT_MAX (1u << 20)

static const char *const status_words[] = { "PASS", "WARN", "FAIL" };
static const char *const status_colours[] = { "\033[32m", "\033[33m", "\033[31m" };

void doctor_add(struct doctor *d, enum check_status status, const char *id, const char *hint,
                const char *fmt, ...)
{
    va_list ap;

    if (d->n == CHECKS_MAX)
        return;
    struct check *c = &d->check[d->n++];
    *c = (struct check){ .status = status, .id = id };
    va_start(ap, fmt);
    (void)vsnprintf(c->evidence, sizeof c->evidence, fmt, ap);
    va_end(ap);
    if (hint && status != CHECK_PASS)
        (void)snprintf(c->hint, sizeof c->hint, "%s", hint);
}

bool doctor_read(const char *path, char *out, size_t cap)
{
    long n = cli_read_file(path, out, cap - 1);

    if (n < 0) {
        *out = '\0';
        return false;
    }
    out[strcspn(out, "\n")] = '\0';
    return true;
}

unsigned doctor_release(void)
{
    struct utsname u;
    struct str major_text, minor_text, rest;
    uint64_t major, minor;

    if (uname(&u) < 0)
        return 0;
    (void)str_cut(str_from(u.release), '.', &major_text, &rest);
    size_t digits = rest.n ? strspn(rest.p, "0123456789")
                           : 0; /* rest ends with u.release, which has a NUL */
    minor_text = str_sub(rest, 0, digits);
    if (num_parse_u64(major_text, 0, 999, &major) < 0 ||
        num_parse_u64(minor_text, 0, 999, &minor) < 0)
        return 0;
    return (unsigned)(major * 1000 + minor);
}

static void print_text(const struct doctor *d)
{
    bool colour = cli_colour(STDOUT_FILENO);

    for (size_t i = 0; i < d->n; i++) {
        const struct check *c = &d->check[i];
        (void)printf("%s%s%s  %-20s ", colour ? status_colours[c->status] : "",
                     status_words[c->status], colour ? "\033[0m" : "", c->id);
        cli_print_safe(stdout, c->evidence);
        (void)putchar('\n');
        if (*c->hint)
            (void)printf("      %-20s -> %s\n", "", c->hint);
    }
    if (strcmp(d->isolation, "none") == 0)
        (void)puts("\nisolation: none: a sandbox cannot run here, see FAIL above");
    else
        (void)printf("\nisolation: %s: %s\n", d->isolation, d->isolation_why);
}

static void print_json(const struct doctor *d)
{
    AUTO_BUF struct buf out = BUF_INIT(REPORT_MAX);

    buf_addf(&out, "{\"ok\":%s,\"isolation\":{\"kind\":\"%s\",\"why\":",
             strcmp(d->isolation, "none") ? "true" : "false", d->isolation);
    json_write_str(&out, str_from(d->isolation_why));
    buf_add_cstr(&out, "},\"checks\":[");
    for (size_t i = 0; i < d->n; i++) {
        const struct check *c = &d->check[i];
        buf_addf(&out, "%s{\"id\":\"%s\",\"status\":\"%s\",\"evidence\":", i ? "," : "", c->id,
                 status_words[c->status]);
        json_write_str(&out, str_from(c->evidence));
        buf_add_cstr(&out, ",\"hint\":");
        json_write_str(&out, str_from(c->hint));
        buf_add_char(&out, '}');
    }
    buf_add_cstr(&out, "]}\n");
    (void)fwrite(out.p, 1, out.n, stdout);
}

static int doctor_run(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    static struct doctor d; /* too large for the stack; used here and below only */
    struct err e;
    bool json = false;
    int o;

    while ((o = cli_next_option(&cmd_doctor, argc, argv, "", options)) >= 0) {
        if (o == 'j')
            json = true;
        else
            (void)place_option(&d.place, o, optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (optind < argc)
        return cli_usage_error(&cmd_doctor, "unexpected argument '%s'", argv[optind]);
    if (place_resolve(&d.place, &e) < 0)
        return cli_usage_error(&cmd_doctor, "%s", e.text);
    doctor_kernel(&d);
    doctor_cgroup(&d);
    doctor_capacity(&d);
    doctor_host(&d);
    if (json)
        print_json(&d);
    else
        print_text(&d);
    return cli_finish_stdout(strcmp(d.isolation, "none") == 0 ? CLI_FAILED : CLI_OK);
}

const struct cli_command cmd_doctor = {
    .name = "doctor",
    .summary = "Check whether, and how well isolated, sandboxes can run on this machine",
    .usage = "[--json]",
    .help = "  --json            one JSON object: ok, isolation, checks (id, status, evidence, "
            "hint)\n" PLACE_HELP "\nWARN: it works, but less well or with less depth. FAIL: a "
            "sandbox cannot run here (exit status 1).\n",
    .run = doctor_run,
};
