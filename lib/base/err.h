/* SPDX-License-Identifier: Apache-2.0 */
/* err: a failure as a value. The caller owns it, so reporting a failure can neither fail nor
 * leak, and the value can cross a socket as it is.
 *
 * Convention of the whole tree: a function returns 0 (or a count) or -errno. Where an operator
 * will want the story, the last parameter is `struct err *e`: never NULL, written if and only
 * if the call fails. Libraries never log an error; programs log it once. */
#pragma once

struct err {
    int code;       /* errno value, > 0; 0 while nothing has failed */
    char text[252]; /* for an operator: what failed on what. NUL-terminated. Never a secret. */
};

/* Sets *e to `code` (an errno value > 0) with the formatted text followed by ":
 * strerror(code)". Returns -code, so that `return err_set(e, errno, "open '%s'", name);` is one
 * statement. */
int err_set(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same without the strerror suffix: for failures whose text says it all (bad input). */
int err_say(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context in front of an error that is already set: "<formatted>: <old text>", cut at the
 * end. Returns -e->code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
