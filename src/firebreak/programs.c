/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/programs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIBEXEC "/usr/libexec/firebreak"

static int try_path(char out[PROGRAM_PATH_MAX], const char *dir, const char *middle,
                    const char *name)
{
    if (snprintf(out, PROGRAM_PATH_MAX, "%s%s/%s", dir, middle, name) >= (int)PROGRAM_PATH_MAX)
        return -ENAMETOOLONG;
    return access(out, X_OK) == 0 ? 0 : -errno;
}

int program_find(const char *name, char out[PROGRAM_PATH_MAX], struct err *e)
{
    char own[PROGRAM_PATH_MAX], middle[64];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

    if (n > 0) {
        own[n] = '\0';
        char *slash = strrchr(own, '/');
        if (slash)
            *slash = '\0';
        /* The build tree has a directory for each program: build/src/firebreak/firebreak, build/src/warden/warden. */
        (void)snprintf(middle, sizeof middle, "/../%s", name);
        if (try_path(out, own, middle, name) == 0 || try_path(out, own, "", name) == 0 ||
            try_path(out, own, "/../libexec/firebreak", name) == 0)
            return 0;
    }
    if (try_path(out, LIBEXEC, "", name) == 0)
        return 0;
    return err_say(e, ENOENT, "program '%s' is neither beside this one nor in " LIBEXEC, name);
}
