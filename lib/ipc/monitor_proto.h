/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_proto: what the API says to the monitor of one sandbox (jailmon today, vmmon later):
 * DESIGN §3.
 *
 * Transport: SOCK_SEQPACKET, one fixed struct a message, native byte order. The API gets a
 * connection from the warden (SPAWN or OPEN); several may be open. Requests on one connection
 * are answered in order. The monitor reads nothing from the sandbox. Wrong size, type or fd
 * count: the monitor closes that connection and lives on; to another version it says its own
 * first, with status -EPROTONOSUPPORT. */
#pragma once
#include "ipc/ids.h"

#define MONITOR_VERSION    2u
#define MONITOR_AGENT_PORT 49983u /* envd's port in E2B's protocol */

enum monitor_type {
    MONITOR_CONNECT =
        1, /* port -> a non-blocking TCP socket in the sandbox's network namespace, connected or
              connecting to 127.0.0.1:port, else [::1]:port. Answer: 1 fd, or -ECONNREFUSED */
    MONITOR_FREEZE, /* stop every process of the sandbox; answered when they have stopped, or
                       -ETIMEDOUT after 1 s */
    MONITOR_THAW,
    MONITOR_STATS,        /* answer: stats */
    MONITOR_SET_DEADLINE, /* deadline_ns, CLOCK_BOOTTIME; 0 = now */
    MONITOR_KILL,         /* answered, then the sandbox ends with CAUSE_KILLED */
    MONITOR_WATCH, /* answered when the sandbox ends: port is enum sandbox_cause. One watcher at a
                             time; a later one takes its place */
    MONITOR_NETNS /* answer: 1 fd, a NETLINK_ROUTE socket that was opened in the sandbox's network
                     namespace with capabilities over it. It is worth something only to a sender
                     that has them too: that is netd, to which the API passes it on */
};

struct monitor_stats {
    uint64_t memory_bytes;      /* charged now, page cache of its files included */
    uint64_t memory_peak_bytes; /* 0 where the kernel does not say */
    uint64_t memory_limit_bytes;
    uint64_t cpu_usec; /* CPU time used */
    uint64_t pids;
    uint64_t oom_kills;
    uint64_t disk_used_bytes; /* writable layer */
    uint64_t disk_limit_bytes;
    uint64_t deadline_ns;     /* CLOCK_BOOTTIME */
    uint32_t frozen;          /* 0 or 1 */
    uint32_t agent_pid;       /* envd's pid as the host sees it */
    uint64_t tripwires;       /* forbidden system calls that were reported (lib/sys/filter.h) */
    uint64_t tripwire_alarms; /* times that two distinct ones came within a minute */
    uint32_t landlock_abi;    /* in force for the sandbox's programs; 0: the kernel has none */
    uint32_t profile;         /* enum sandbox_profile */
};
struct monitor_msg {
    uint32_t type; /* enum monitor_type */
    uint32_t version;
    uint64_t request_id; /* echoed */
    int32_t status;      /* answers: 0 or -errno */
    uint32_t port;       /* CONNECT: 1..65535 */
    uint64_t deadline_ns;
    struct monitor_stats stats;
};
_Static_assert(sizeof(struct monitor_msg) == 136, "wire size");
