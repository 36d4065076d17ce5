// SPDX-License-Identifier: Apache-2.0
// What a probe says, on stdout: `here` right before the forbidden step, then one line with what came of it.
#pragma once
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void here(void)
{
    if (write(1, "here\n", 5) != 5)
        _exit(99);
}

__attribute__((format(printf, 1, 2))) static inline int say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    return 0;
}

// rc as a system call returns it.
static inline int outcome(long rc)
{
    return rc >= 0 ? say("got through") : say("refused %s", strerrorname_np(errno));
}

// For steps before the forbidden one: they must work inside as well as outside.
static inline void must(int true_or_not, const char *what)
{
    if (true_or_not)
        return;
    say("cannot even %s: %s", what, strerrorname_np(errno));
    exit(98);
}
