/* SPDX-License-Identifier: Apache-2.0 */
/* sudo: runs commands as another user for programs of the sandbox that ask on RUN/sudo.sock. Under no_new_privs a setuid bit does
 * nothing, so what `sudo` does is done here: whoever is root or in the group sudo (SO_PEERCRED and the sandbox's own files) may. */
#pragma once
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "envd/users.h"

struct app;
struct sudo;

#define SUDO_SESSIONS_MAX 64u

/* Makes the socket in a->run_dir and listens on a->loop. 0 or -errno with *e. Borrows a. */
int sudo_start(struct sudo **out, struct app *a, struct err *e);
/* Stops listening and removes the socket. Sessions that are running go on: the process is about to end anyway. */
void sudo_stop(struct sudo *s);

/* The command line of `sudo` itself (argv[0] is "sudo"): asks, carries signals and the terminal, returns the exit status. */
int sudo_command(int argc, char **argv);

/* Joins the arguments to one line for `shell -c`, with a backslash before whatever a shell could take for more than a letter. */
struct buf;
void sudo_join_command(char *const *args, size_t n, struct buf *out);
