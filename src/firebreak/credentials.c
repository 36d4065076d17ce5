/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "codec/json.h"

#define SPAN_MAX_S (UINT64_C(10) * 366 * 86400)
#define ID_MAX     160u

int credentials_parse_span(const char *text, uint64_t *seconds)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } unit[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    struct str s = str_from(text);
    uint64_t factor = 1, n;

    for (size_t i = 0; s.n > 0 && i < ARRAY_LEN(unit); i++)
        if (s.p[s.n - 1] == unit[i].letter) {
            factor = unit[i].seconds;
            s.n--;
            break;
        }
    if (num_parse_u64(s, 1, SPAN_MAX_S / factor, &n) < 0)
        return -EINVAL;
    *seconds = n * factor;
    return 0;
}

int credentials_open(struct api *api, struct place *p, struct err *e)
{
    *api = (struct api){ 0 };
    int rc = place_resolve(p, e);
    return rc < 0 ? rc : api_open(api, p, e);
}

const char *credentials_text(const json_t *row, const char *field)
{
    const char *s = json_string_value(json_object_get(row, field));
    return s && *s ? s : "-";
}

void credentials_cell(const char *text, int width)
{
    char cut[160];

    (void)snprintf(cut, sizeof cut, "%s", text);
    for (char *c = cut; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    (void)printf("%-*s  ", width, cut);
}

void credentials_print_caps(const json_t *row)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(row, "capabilities"), i, one)
    {
        if (i > 0)
            (void)putchar(' ');
        cli_print_safe(stdout, json_is_string(one) ? json_string_value(one) : "?");
    }
    (void)putchar('\n');
}

void credentials_print_json(const json_t *j)
{
    (void)json_dumpf(j, stdout,
                     JSON_INDENT(2) | JSON_PRESERVE_ORDER); /* finish_stdout checks */
    (void)putchar('\n');
}

/* Options of a command that has --json alone. >= 0: the exit status. */
static int only_json(const struct cli_command *c, int argc, char **argv, struct place *place,
                     bool *json)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int o;

    while ((o = cli_next_option(c, argc, argv, "", options)) >= 0) {
        if (o == 'j')
            *json = true;
        else
            (void)place_option(place, o, optarg);
    }
    return cli_options_ended(o);
}

int credentials_list(const struct cli_command *c, int argc, char **argv, const char *target,
                     const char *heading, void (*print_row)(const json_t *row),
                     const char *nothing)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    struct place place = { 0 };
    struct api api;
    struct err e = { 0 };
    bool json = false;
    const json_t *row;
    size_t i;
    int status = only_json(c, argc, argv, &place, &json);

    if (status >= 0)
        return status;
    if (optind < argc)
        return cli_usage_error(c, "unexpected argument '%s'", argv[optind]);
    int rc = credentials_open(&api, &place, &e);
    if (rc == 0)
        rc = api_expect(&api, "GET", target, NULL, &r, &e);
    api_close(&api);
    if (rc < 0)
        return cli_fail(&e, api_hint(&e));
    if (json) {
        credentials_print_json(r.json);
        return cli_finish_stdout(CLI_OK);
    }
    (void)fputs(json_array_size(r.json) > 0 ? heading : nothing, stdout);
    if (json_array_size(r.json) == 0)
        (void)putchar('\n');
    json_array_foreach(r.json, i, row)
    {
        print_row(row);
    }
    return cli_finish_stdout(CLI_OK);
}

/* What may stand in a path as it is. */
static bool is_plain(const char *s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        "._:-";
    size_t n = strspn(s, letters);
    return n > 0 && n <= ID_MAX && s[n] == '\0' && s[0] != '.';
}

int credentials_delete(const struct cli_command *c, int argc, char **argv, const char *prefix,
                       const char *what, const char *done)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    struct place place = { 0 };
    char target[ID_MAX + 64];
    struct api api;
    struct err e = { 0 };
    bool json = false;
    int status = only_json(c, argc, argv, &place, &json);

    if (status >= 0)
        return status;
    if (argc - optind != 1 || !is_plain(argv[optind]))
        return cli_usage_error(c, "name one: %s", what);
    (void)snprintf(target, sizeof target, "%s%s", prefix, argv[optind]);
    int rc = credentials_open(&api, &place, &e);
    if (rc == 0)
        rc = api_expect(&api, "DELETE", target, NULL, &r, &e);
    api_close(&api);
    if (rc < 0)
        return cli_fail(&e, api_hint(&e));
    if (json)
        (void)printf("{\"id\": \"%s\", \"%s\": true}\n", argv[optind], done);
    else
        (void)printf("%s %s\n", done, argv[optind]);
    return cli_finish_stdout(CLI_OK);
}

int credentials_no_command(const struct cli_command *c, int argc, char **argv,
                           const char *commands)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        cli_print_help(c, stdout);
        return cli_finish_stdout(CLI_OK);
    }
    if (argc > 1)
        return cli_usage_error(c, "unknown command '%s'", argv[1]);
    return cli_usage_error(c, "say what to do: %s", commands);
}

int credentials_read(const char *path, size_t max, struct buf *out, struct err *e)
{
    bool is_stdin = strcmp(path, "-") == 0;
    AUTO_CLOSE int opened = is_stdin ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int fd = is_stdin ? STDIN_FILENO : opened;
    ssize_t got = 1;

    if (fd < 0)
        return err_set(e, errno, "open '%s'", path);
    *out = BUF_INIT(max + 2);
    while (got > 0) {
        char *to = buf_reserve(out, out->max - out->n);
        got = to ? read(fd, to, out->max - out->n) : 0;
        if (got < 0 && errno != EINTR)
            return err_set(e, errno, "read '%s'", path);
        if (got < 0)
            got = 1; /* interrupted: again */
        else
            out->n += (size_t)got;
        if (out->n == out->max)
            break;
    }
    while (out->n > 0 && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r'))
        out->n--;
    if (out->n > max)
        return err_say(e, EFBIG, "'%s' is longer than %zu bytes", path, max);
    if (out->n == 0)
        return err_say(e, ENODATA, "'%s' is empty", path);
    out->p[out->n] = '\0';
    return 0;
}
