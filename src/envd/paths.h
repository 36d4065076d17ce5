/* SPDX-License-Identifier: Apache-2.0 */
/* paths: what a client's path means (E2B: relative to the home directory), and directories made on the way. A path is a C string
 * of at most PATHS_MAX bytes with its NUL. */
#pragma once
#include <limits.h>
#include <sys/types.h>

#include "base/str.h"

#define PATHS_MAX PATH_MAX

/* Lexical cleaning as Go's path.Clean: no "//", "/./", "/../", no final slash; "" gives ".". In place is not allowed. 0 or -ENAMETOOLONG. */
int paths_clean(struct str path, char out[PATHS_MAX]);
/* "" -> workdir (or home if that is empty), "~" and "~/x" -> home, absolute -> as it is, else home joined with it and cleaned.
 * 0, -EINVAL ("~other", or home is not absolute), -ENAMETOOLONG. */
int paths_resolve(struct str path, const char *home, const char *workdir, char out[PATHS_MAX]);
/* The last element as Go's path.Base: "/a/b/" gives "b", "/" gives "/", "" gives ".". Borrows from path or is constant. */
struct str paths_base(struct str path);
/* dir + "/" + name. 0 or -ENAMETOOLONG. `out` may be `dir`. */
int paths_join(const char *dir, struct str name, char out[PATHS_MAX]);
/* Without the last element: "/a/b" gives "/a", "/a" gives "/". */
void paths_parent(const char *path, char out[PATHS_MAX]);

/* mkdir -p with mode 0755; directories that it makes belong to uid:gid (if we may). 0 or -errno, -ENOTDIR if a file is in the way. */
int paths_make_dirs(const char *path, uid_t uid, gid_t gid);
