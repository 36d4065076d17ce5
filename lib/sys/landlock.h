/* SPDX-License-Identifier: Apache-2.0 */
/* landlock: a process gives up rights over files, connections and signals that neither ids nor
 * capabilities bring back. Works as far as the kernel's Landlock ABI goes; what an older ABI
 * lacks is left out, and a kernel without Landlock gives ABI 0 and no error (ADR 0040).
 * Rights: linux/landlock.h of Linux 6.15; names here because older headers lack the newer ones.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LL_FS_EXECUTE     (1ULL << 0)
#define LL_FS_WRITE_FILE  (1ULL << 1)
#define LL_FS_READ_FILE   (1ULL << 2)
#define LL_FS_READ_DIR    (1ULL << 3)
#define LL_FS_REMOVE_DIR  (1ULL << 4)
#define LL_FS_REMOVE_FILE (1ULL << 5)
#define LL_FS_MAKE_CHAR   (1ULL << 6)
#define LL_FS_MAKE_DIR    (1ULL << 7)
#define LL_FS_MAKE_REG    (1ULL << 8)
#define LL_FS_MAKE_SOCK   (1ULL << 9)
#define LL_FS_MAKE_FIFO   (1ULL << 10)
#define LL_FS_MAKE_BLOCK  (1ULL << 11)
#define LL_FS_MAKE_SYM    (1ULL << 12)
#define LL_FS_REFER       (1ULL << 13) /* ABI 2 */
#define LL_FS_TRUNCATE    (1ULL << 14) /* ABI 3 */
#define LL_FS_IOCTL_DEV   (1ULL << 15) /* ABI 5 */
#define LL_FS_ALL         ((1ULL << 16) - 1)
#define LL_NET_BIND_TCP   (1ULL << 0) /* ABI 4 */
#define LL_NET_CONNECT    (1ULL << 1) /* ABI 4 */
#define LL_SCOPE_ABSTRACT (1ULL << 0) /* ABI 6: abstract Unix sockets */
#define LL_SCOPE_SIGNAL   (1ULL << 1) /* ABI 6 */

struct landlock_grant {
    int fd; /* O_PATH: everything at and below it */
    uint64_t fs;
};

struct landlock_rules {
    uint64_t fs, net, scope; /* what is refused unless granted */
    const struct landlock_grant *grant;
    size_t n_grants;
    uint16_t connect_port; /* that TCP may be connected to all the same; 0: none */
};

/* The newest ABI of this kernel; 0: none. */
int landlock_abi(void);

/* What of `want` an ABI has, and makes no program worse off: with ABI 1, restricting any right
 * over files also forbids renaming between directories, so there it has none unless REFER is
 * to be refused anyway. Pure. */
struct landlock_rules landlock_fit(const struct landlock_rules *want, int abi);

/* Restricts this thread and its future children, for good; needs no_new_privs. Returns the ABI
 * that is in force (0: this kernel has none), or -errno. */
int landlock_restrict(const struct landlock_rules *want, struct err *e);
