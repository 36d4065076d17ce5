/* SPDX-License-Identifier: Apache-2.0 */
/* tree: walks over directories that a hostile program may be changing: without recursion, with limits, never following a link
 * below the start. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define TREE_DEPTH_MAX   1024u   /* levels */
#define TREE_ENTRIES_MAX 100000u /* of a listing */

/* Calls visit(path, arg) for everything below `root`, at most `depth` levels deep (1: its entries), parents first and names in
 * byte order; paths start with `root` as given. A visit that returns non-zero ends the walk with that value. Directories
 * that vanish or cannot be read on the way are skipped. 0, -errno for `root` itself (ENOTDIR, ENOENT, ELOOP), -E2BIG over a limit. */
int tree_walk(const char *root, unsigned depth, size_t max_entries,
              int (*visit)(const char *path, void *arg), void *arg);

/* rm -rf. What does not exist is success. 0 or -errno of the first thing that could not be removed; -E2BIG: too deep. */
int tree_remove(const char *path);
