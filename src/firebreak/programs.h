/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/programs: where the other programs of this build are: beside this one in a build tree, else where they are installed. */
#pragma once
#include "base/err.h"

#define PROGRAM_PATH_MAX 512u

/* Absolute path of "warden", "jailmon", "envd", "e2b-sandbox" or "build-base-template.sh". -ENOENT with *e. */
int program_find(const char *name, char out[PROGRAM_PATH_MAX], struct err *e);
