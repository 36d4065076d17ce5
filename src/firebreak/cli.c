/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

void cli_print_help(const struct cli_command *c, FILE *to)
{
    (void)fprintf(to, "Usage: firebreak %s%s%s\n\n%s.\n%s%s", c->name, *c->usage ? " " : "",
                  c->usage, c->summary, *c->help ? "\n" : "", c->help);
}

int cli_next_option(const struct cli_command *c, int argc, char **argv,
                    const char *short_options, const struct option *options)
{
    char spec[32];

    /* ':' first: a missing value is told apart from an unknown option; our words instead of getopt's. */
    (void)snprintf(spec, sizeof spec, ":h%s", short_options);
    opterr = 0;
    int o = getopt_long(argc, argv, spec, options, NULL);
    if (o == 'h') {
        cli_print_help(c, stdout);
        return CLI_OPTIONS_HELP;
    }
    if (o == ':') {
        (void)cli_usage_error(c, "option '%s' needs a value", argv[optind - 1]);
        return CLI_OPTIONS_BAD;
    }
    if (o == '?') {
        if (optopt && optopt < 256 && optopt != 'h')
            (void)cli_usage_error(c, "unknown option '-%c'", optopt);
        else
            (void)cli_usage_error(c, "unknown or ambiguous option '%s'", argv[optind - 1]);
        return CLI_OPTIONS_BAD;
    }
    return o;
}

int cli_options_ended(int o)
{
    if (o == CLI_OPTIONS_HELP)
        return cli_finish_stdout(CLI_OK);
    return o == CLI_OPTIONS_BAD ? CLI_USAGE : -1;
}

void cli_print_safe(FILE *to, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        (void)putc(c < 0x20 || c == 0x7f ? '?' : c, to);
    }
}

int cli_usage_error(const struct cli_command *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "firebreak %s: ", c->name);
    cli_print_safe(stderr, text);
    (void)fprintf(stderr, "\nUsage: firebreak %s%s%s\nMore: firebreak %s --help\n", c->name,
                  *c->usage ? " " : "", c->usage, c->name);
    return CLI_USAGE;
}

int cli_fail(const struct err *e, const char *to_do)
{
    (void)fputs("firebreak: ", stderr);
    cli_print_safe(stderr, e->text);
    (void)putc('\n', stderr);
    if (to_do)
        (void)fprintf(stderr, "  %s\n", to_do);
    return CLI_FAILED;
}

bool cli_colour(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fd) && (!no || !*no) && term && strcmp(term, "dumb") != 0;
}

int cli_finish_stdout(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    (void)fprintf(stderr, "firebreak: cannot write to standard output: %s\n", strerror(errno));
    return CLI_FAILED;
}

long cli_read_file(const char *path, char *buf, size_t max)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t n = 0;

    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t got = read(fd, buf + n, max - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        n += (size_t)got;
        if (got == 0 || n == max)
            break;
    }
    buf[n] = '\0';
    return (long)n;
}
