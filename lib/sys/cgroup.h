/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup: one group per sandbox on whatever the host has: v1, v2 or both ("hybrid").
 *
 * Layout, per hierarchy: <mount>/<parent>/<sandbox id>. On v2 the group has two children: `box`
 * (the sandbox's processes, the one that is frozen and has the limits of memory, processes and
 * input/output) and `mon` (its monitor); the CPU limit holds for both. On v1 cpu holds both; of
 * memory, pids, blkio and freezer the monitor leaves for the parent. So a sandbox that is out of
 * memory or processes never takes its monitor's, while what it makes its monitor compute is
 * charged to it (ADR 0042). What the monitor took before it left stays charged where it was
 * born: that is CGROUP_MONITOR_BYTES. Each duty goes to the hierarchy that can do
 * it: birth, kill and freeze to v2 where it is mounted, even without
 * controllers; each limit to the controller of v2 if it is there, else of v1. A host that can
 * enforce no memory, cpu or pids limit is refused: a limit that is not in force must not be
 * promised. Files: kernel doc admin-guide/cgroup-v2.rst and cgroup-v1/. Seed: R61..R67. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum cgroup_v1 {
    CGROUP_V1_MEMORY,
    CGROUP_V1_CPU,
    CGROUP_V1_CPUACCT,
    CGROUP_V1_PIDS,
    CGROUP_V1_FREEZER,
    CGROUP_V1_BLKIO,
    CGROUP_V1_N
};

/* Added to each memory limit, so that a sandbox has what it was promised: what the monitor took
 * before it left, and the kernel's part of namespaces, mounts and page tables. Measured on 6.18:
 * 0.7 MiB are charged to an idle sandbox, 1.0 MiB at the peak of its start, envd included. */
#define CGROUP_MONITOR_BYTES (UINT64_C(1) << 20)
#define CGROUP_DISK_MAX      24u /* bytes of "major:minor" with its NUL */

struct cgroup_host {
    int v2_fd;                              /* our parent directory in v2, or -1 */
    int v1_fd[CGROUP_V1_N];                 /* our parent directories in v1, or -1 */
    bool v2_memory, v2_cpu, v2_pids, v2_io; /* controllers that v2 gives us */
    char disk[CGROUP_DISK_MAX];             /* of cgroup_host_set_disk, or "" */
};

struct cgroup_limits {
    uint64_t memory_bytes;
    uint64_t memory_low_bytes; /* reservation, R64 */
    uint32_t cpu_millis;       /* thousandths of a CPU */
    uint32_t cpu_shares;       /* v1 scale, 1024 = one CPU, R63 */
    uint32_t pids;
    uint64_t io_bytes_per_s; /* each way, of the host's disk; 0: no limit */
};

/* The control files that a monitor gets to hold; -1 where the host has none. The descriptors
 * are the holder's. */
enum cgroup_file {
    CGROUP_FILE_FREEZE, /* write "1"/"0" (v2) or "FROZEN"/"THAWED" (v1) */
    CGROUP_FILE_EVENTS, /* cgroup.events (v2, "frozen 1") or freezer.state (v1, "FROZEN") */
    CGROUP_FILE_MEMORY, /* bytes now */
    CGROUP_FILE_PEAK,   /* most bytes ever */
    CGROUP_FILE_CPU,    /* cpu.stat ("usage_usec N") or cpuacct.usage (ns) */
    CGROUP_FILE_PIDS,
    CGROUP_FILE_OOM,  /* memory.events ("oom_kill N") or memory.oom_control ("oom_kill N") */
    CGROUP_FILE_KILL, /* v2: write "1" and every process of the sandbox (not its monitor) is
                         killed */
    CGROUP_FILE_N
};

/* Finds the hierarchies at their standard places under /sys/fs/cgroup, makes `parent` in each
 * and switches controllers on. 0, or -errno with *e saying which limit cannot be enforced. */
int cgroup_host_open(struct cgroup_host *h, const char *parent, struct err *e);
void cgroup_host_close(struct cgroup_host *h);
/* "v2", "v1" or "hybrid": for doctor and reports. */
const char *cgroup_host_kind(const struct cgroup_host *h);

/* The block device whose use io_bytes_per_s limits: the one that `fd`'s file lies on. -ENODEV
 * if that is no block device (overlay, network file system) or no controller can do it. */
int cgroup_host_set_disk(struct cgroup_host *h, int fd);
/* Caps everything below the parent together; 0: no cap. */
int cgroup_host_limit(const struct cgroup_host *h, uint64_t memory_bytes, uint32_t pids,
                      struct err *e);
/* What is charged to the parent now; 0 if the kernel does not say. */
uint64_t cgroup_host_memory(const struct cgroup_host *h);

/* Makes the groups of `id` and writes the limits, before anything is in them. On failure
 * nothing of it stays. */
int cgroup_create(const struct cgroup_host *h, const char *id, const struct cgroup_limits *l,
                  struct err *e);
/* The directory that a child is to be born in (CLONE_INTO_CGROUP): an fd, or -1 if there is no
 * v2. */
int cgroup_open_box(const struct cgroup_host *h, const char *id);
/* Puts a process into all groups of the sandbox (v1; and v2 `box` unless it was born there). */
int cgroup_enter(const struct cgroup_host *h, const char *id, pid_t pid, bool born_in_box,
                 struct err *e);
/* Takes the monitor out of the part that is frozen. */
int cgroup_move_monitor(const struct cgroup_host *h, const char *id, pid_t pid, struct err *e);
void cgroup_open_files(const struct cgroup_host *h, const char *id, int fds[CGROUP_FILE_N]);
/* Of a control file's text: the number after `key` and a blank at the start of a line, or what the
 * first line is if key is empty; 0 if there is none. */
uint64_t cgroup_number(struct str text, const char *key);
/* Processes of the sandbox that the memory limit has killed; 0 if there is no such group. */
uint64_t cgroup_oom_kills(const struct cgroup_host *h, const char *id);
/* Sends SIGKILL to every process in the groups, also frozen ones. 0 or -errno. */
int cgroup_kill(const struct cgroup_host *h, const char *id);
/* Removes the groups. 0 (also if there are none), or -EBUSY while processes are still dying:
 * try again. */
int cgroup_remove(const struct cgroup_host *h, const char *id);
/* Calls fn for each group name below our parent, in any hierarchy (a name may come several
 * times). For sweeps at start. */
void cgroup_each(const struct cgroup_host *h, void (*fn)(const char *id, void *arg), void *arg);
/* Removes the parents themselves, if they are empty. */
void cgroup_host_remove(struct cgroup_host *h, const char *parent);
