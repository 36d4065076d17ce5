/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/cli: what every subcommand shares: its description, its options, how it reports.
 * Exit status: 0 success, 1 failure (the message says what to do next), 2 wrong usage. */
#pragma once
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli_command {
    const char *name;                  /* "run" */
    const char *summary;               /* one line for the list of commands */
    const char *usage;                 /* what follows "firebreak NAME", one line */
    const char *help;                  /* options and notes, whole lines */
    int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
};

extern const struct cli_command cmd_up, cmd_run, cmd_ps, cmd_kill, cmd_info, cmd_template,
    cmd_key, cmd_token, cmd_doctor, cmd_check_invariants, cmd_audit, cmd_secrets,
    cmd_completion, cmd_version;
/* All of them, ending with NULL, in the order of the list. */
extern const struct cli_command *const cli_commands[];

/* The next option of a subcommand (long options; "-h" and "--help" are added): its `val`, or one of the below. After the end, argv + optind
 * are the operands. Wrong usage has been reported, and help printed, when it says so. */
enum { CLI_OPTIONS_END = -1, CLI_OPTIONS_BAD = -2, CLI_OPTIONS_HELP = -3 };
int cli_next_option(const struct cli_command *c, int argc, char **argv,
                    const char *short_options, const struct option *options);
/* The exit status for a loop over cli_next_option that ended with `o`; -1 to go on. */
int cli_options_ended(int o);
void cli_print_help(const struct cli_command *c, FILE *to);

/* "firebreak run: <text>" and where the help is. Returns CLI_USAGE. */
int cli_usage_error(const struct cli_command *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "firebreak: <text>", control characters made visible, then `to_do` on its own line unless NULL. Returns CLI_FAILED. */
int cli_fail(const struct err *e, const char *to_do);

/* May text written to `fd` be coloured: it is a terminal, NO_COLOR is unset, TERM is not "dumb". */
bool cli_colour(int fd);
/* Writes s for a person: control characters as "?", so that no answer can steer the terminal. */
void cli_print_safe(FILE *to, const char *s);
/* Flushes and checks stdout: a full disk or closed pipe is a failure, not a success. Returns `status`, or CLI_FAILED. */
int cli_finish_stdout(int status);
/* Reads a whole file of at most max bytes into buf (NUL-terminated, so it has max + 1 bytes). Bytes, or -errno. */
long cli_read_file(const char *path, char *buf, size_t max);
