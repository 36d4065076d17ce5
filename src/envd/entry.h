/* SPDX-License-Identifier: Apache-2.0 */
/* entry: EntryInfo, what clients are told of one file (spec 3.7), from lstat. */
#pragma once
#include <sys/stat.h>

#include "base/buf.h"
#include "envd/users.h"

#define ENTRY_PERMISSIONS_MAX 16
/* "-rw-r--r--", "drwxr-xr-x", "Lrwxrwxrwx", "dtrwxrwxrwx": as Go's os.FileMode prints it. */
void entry_permissions(mode_t mode, char out[ENTRY_PERMISSIONS_MAX]);

/* Appends the JSON object of the file at this absolute path. 0, or -errno of lstat (then nothing was appended). */
int entry_write(const char *path, struct users *files, struct buf *out);
