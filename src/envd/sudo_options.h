/* SPDX-License-Identifier: Apache-2.0 */
/* sudo_options: the command line of `sudo`. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sudo_mode { SUDO_RUN, SUDO_VALIDATE, SUDO_LIST, SUDO_PRINT_VERSION, SUDO_HELP };

struct sudo_options {
    enum sudo_mode mode;
    uint32_t flags;   /* enum sudo_flag */
    const char *user; /* "root" unless -u */
    char **vars;      /* VAR=value before the command, borrowed from argv */
    size_t n_vars;
    char **args; /* the command, borrowed from argv */
    size_t n_args;
};

/* 0, or -EINVAL with *e: "unknown option '-Z'". */
int sudo_options_parse(int argc, char **argv, struct sudo_options *out, struct err *e);
