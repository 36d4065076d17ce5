/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/lang: which interpreter runs a program. Pure. */
#pragma once
#include "base/str.h"

struct lang {
    const char *name;      /* "python" */
    const char *program;   /* "python3", found through the sandbox's PATH */
    const char *code_flag; /* how it takes code as an argument: "-c" */
    const char *extension; /* for a file made from standard input: ".py" */
};

/* By the name a user gives (python, python3, py, javascript, js, node, bash, sh), or NULL. */
const struct lang *lang_by_name(const char *name);
/* By the extension of a file name, or NULL. */
const struct lang *lang_by_file_name(const char *file_name);
/* By "#!" on the first line, also through env(1), or NULL. */
const struct lang *lang_by_shebang(struct str text);
