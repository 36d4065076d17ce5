/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/env_file: files of variables, NAME=VALUE a line, as the guide's env.tier-* and .env.local are: blank lines and # comments are kept as they are,
 * "export " in front and quotes around are understood. Pure. */
#pragma once
#include <stdbool.h>

#include "base/str.h"

/* How the guide stores a variable: HIGH encrypted, LOW plain. Others are neither. */
enum sensitivity { SENSITIVITY_NONE, SENSITIVITY_LOW, SENSITIVITY_HIGH };
enum sensitivity env_sensitivity(struct str name);

struct env_row {
    struct str line;        /* without its line feed */
    struct str name, value; /* name.n 0: a comment or a blank line. Without quotes */
};
/* The next line of *left, which is moved behind it; false at the end. -1 in *bad: it is no assignment. */
bool env_next(struct str *left, struct env_row *out, bool *bad);
