/* SPDX-License-Identifier: Apache-2.0 */
/* filter: seccomp programs from allow-lists, default-deny (and one deny-list, for the warden).
 * Builds classic BPF itself (no library): a check of the architecture, a binary search over the
 * allowed numbers, and a few calls whose 32-bit arguments are checked by value. Nothing is ever
 * decided by what a pointer points to: another thread could change it after the check.
 *
 * Foreign architecture (int 0x80, x32): the process is killed. A call that is not listed:
 * EPERM; one that is newer than the list (so that libc falls back), and clone3, whose flags a
 * filter cannot see: ENOSYS. Of a workload, the calls in syscalls_tripwires.h are reported to
 * whoever holds the listener, which answers with an errno; without one they are ENOSYS. */
#pragma once
#include <linux/filter.h>
#include <stddef.h>

#include "base/err.h"

#define FILTER_MAX 1024u /* instructions */

enum filter_profile {
    FILTER_API,      /* e2b-sandbox once it serves: threads, files of its own, Unix sockets */
    FILTER_WORKLOAD, /* envd and everything that it starts: an ordinary Linux program without
                        kernel administration */
    FILTER_STRICT,   /* the same without syscalls_strict.h */
    FILTER_DEBUG,    /* the same with ptrace and process_vm_* */
    FILTER_MONITOR,  /* jailmon after it has built the sandbox */
    FILTER_NETD,     /* netd: Internet and netlink sockets, no file, no program */
    FILTER_SHIPPER,  /* shipper: its own files, Unix and Internet sockets */
    FILTER_RECORDER, /* recorder: its own files, sockets that it is given */
    FILTER_TLSD,     /* tlsd: sockets that it was given, and memory */
    FILTER_WARDEN    /* the warden. Its children inherit it, so it cannot be an allow-list: it
                        refuses what none of them ever needs */
};

struct filter {
    struct sock_filter insn[FILTER_MAX];
    unsigned short n;
};

/* Builds the program of a profile. Deterministic. */
void filter_build(struct filter *f, enum filter_profile profile);
/* The same for a workload with options. */
#define FILTER_NAMESPACES (1u << 0) /* also syscalls_namespaces.h, and clone with CLONE_NEW* */
void filter_build_with(struct filter *f, enum filter_profile profile, unsigned options);

/* The name of a call that is a tripwire ("clone" too: with CLONE_NEWUSER it is one); NULL if it
 * is none. filter_tripwire_at enumerates their numbers: -1 after the last. */
const char *filter_tripwire_name(int nr);
int filter_tripwire_at(size_t i);

/* What the program answers for a call: for tests and for doctor. Runs the BPF on the given
 * data, as the kernel would. */
struct seccomp_data;
unsigned filter_run(const struct filter *f, const struct seccomp_data *data);

/* Loads it for this thread; needs no_new_privs. Proves it by reading PR_GET_SECCOMP back. */
int filter_load(const struct filter *f, struct err *e);
/* The same with a listener for the tripwires: returns its CLOEXEC descriptor (seccomp_unotify(2)),
 * or -errno. */
int filter_load_watched(const struct filter *f, struct err *e);
