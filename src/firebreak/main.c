/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak: the command line. An ordinary client of the API, except for `up`, `template build` and `doctor`, which act on
 * this machine. It never links isolation code. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "firebreak/cli.h"

const struct cli_command *const cli_commands[] = {
    &cmd_up,       &cmd_run,     &cmd_ps,         &cmd_info,    &cmd_kill,
    &cmd_template, &cmd_key,     &cmd_token,      &cmd_doctor,  &cmd_check_invariants,
    &cmd_audit,    &cmd_secrets, &cmd_completion, &cmd_version, NULL
};

static void print_commands(FILE *to)
{
    (void)fputs("Usage: firebreak COMMAND [OPTIONS]\n\n"
                "Runs hostile code in disposable sandboxes.\n\n",
                to);
    for (size_t i = 0; cli_commands[i]; i++)
        (void)fprintf(to, "  %-17s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
    (void)fputs("\nfirebreak COMMAND --help tells more; firebreak(1) tells all.\n", to);
}

static int version_run(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
    int o = cli_next_option(&cmd_version, argc, argv, "", options);

    if (cli_options_ended(o) >= 0)
        return cli_options_ended(o);
    if (optind < argc)
        return cli_usage_error(&cmd_version, "unexpected argument '%s'", argv[optind]);
    (void)puts("firebreak " FIREBREAK_VERSION);
    return cli_finish_stdout(CLI_OK);
}

const struct cli_command cmd_version = {
    .name = "version",
    .summary = "Print the version",
    .usage = "",
    .help = "",
    .run = version_run,
};

int main(int argc, char **argv)
{
    /* A reader that went away is an error to handle (the sandbox must still be killed), not a reason to die. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_commands(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        for (size_t i = 0; argc > 2 && cli_commands[i]; i++) {
            if (strcmp(cli_commands[i]->name, argv[2]) == 0) {
                cli_print_help(cli_commands[i], stdout);
                return cli_finish_stdout(CLI_OK);
            }
        }
        print_commands(stdout);
        return cli_finish_stdout(CLI_OK);
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i]->run(argc - 1, argv + 1);
    (void)fputs("firebreak: unknown command '", stderr);
    cli_print_safe(stderr, name);
    (void)fputs("'\n\n", stderr);
    print_commands(stderr);
    return CLI_USAGE;
}
