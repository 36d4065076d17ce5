/* SPDX-License-Identifier: Apache-2.0 */
/* warden_proto: everything that can be said to the warden, whole. One page.
 *
 * Transport: a SOCK_SEQPACKET Unix socket, RUN/warden.sock; one message = one struct of fixed
 * size, native byte order (both ends are one build on one machine; `version` in the first
 * message says so). A peer is served only if SO_PEERCRED says that it runs as the API's uid.
 * Wrong size, type, fd count, a truncated control message or a value outside its range ends the
 * connection; to another version the warden says its own first, in a WARDEN_HELLO with status
 * -EPROTONOSUPPORT. No path, command line, environment or text travels to the warden: objects are
 * named by id, digest or fd.
 *
 * Times are CLOCK_BOOTTIME nanoseconds. Every request is answered once, with its request_id;
 * WARDEN_EXITED comes unasked. */
#pragma once
#include <stdbool.h>

#include "ipc/ids.h"

#define WARDEN_VERSION       2u
#define WARDEN_LIST_ROWS     64u
#define WARDEN_MAX_SANDBOXES 4096u /* rows of the warden's table; an instance may allow less */

enum warden_type {
    WARDEN_HELLO = 1, /* first message of a connection; answered by itself. 0 fds */
    WARDEN_SPAWN, /* start a sandbox. 0 fds. Answered when it is up or has failed; on success
                     with 1 fd (monitor socket, blocking) */
    WARDEN_KILL,  /* end one. Answered when it is gone, or -ENOENT. 0 fds */
    WARDEN_OPEN,  /* a new connection to a sandbox's monitor. Answered with 1 fd, or -ENOENT */
    WARDEN_LIST,  /* from the slot `n_sandboxes` on, 0 at first. Answered with at most
                     WARDEN_LIST_ROWS messages WARDEN_ROW, then WARDEN_LIST: `max_sandboxes` is
                     the slot to ask from next, 0 at the end. A sandbox that runs all the while
                     is told exactly once; the socket never has to hold them all */
    WARDEN_ROW,
    WARDEN_EXITED /* a sandbox has ended and left nothing behind: id, cause */
};

/* Limits of one sandbox, all enforced by the kernel before its first instruction. */
struct sandbox_limits {
    uint64_t memory_bytes; /* 64 MiB .. 64 GiB; swap is off */
    uint64_t disk_bytes;   /* writable layer (memory-backed): 1 MiB .. 64 GiB */
    uint64_t disk_inodes;  /* 1024 .. 16 M */
    uint32_t cpu_millis;   /* thousandths of a CPU: 50 .. 64000 */
    uint32_t pids;         /* 16 .. 32768 */
};

/* The system call filter of the sandbox's programs (lib/sys/filter.h). */
enum sandbox_profile { PROFILE_DEFAULT, PROFILE_STRICT, PROFILE_DEBUG, PROFILE_MAX };

#define SANDBOX_USER_NAMESPACES (1u << 0) /* programs may make user namespaces */
#define SANDBOX_DISK_FILE       (1u << 1) /* writable layer on disk, not in memory */
#define SANDBOX_FLAGS           (SANDBOX_USER_NAMESPACES | SANDBOX_DISK_FILE)

/* What a template says about its sandboxes besides the limits. Zeroed: the defaults. */
struct sandbox_policy {
    uint32_t profile;    /* enum sandbox_profile */
    uint32_t flags;      /* SANDBOX_* */
    uint32_t cpu_shares; /* weight under contention: 2..262144, 1024 = a CPU; 0: 512 */
    uint32_t reserved;   /* 0 */
    uint64_t
        io_bytes_per_s; /* from the disk of the templates, and as much to it; 0: no limit */
};

/* Where a start failed, so that the answer can name it. sandbox_step_text gives the words. */
enum sandbox_step {
    STEP_NONE = 0,
    STEP_ADMIT,
    STEP_RECORD,
    STEP_IMAGE,
    STEP_CGROUP,
    STEP_CLONE,
    STEP_ID_MAP,
    STEP_IDMAP_MOUNT,
    STEP_MONITOR_EXEC,
    STEP_NETNS,
    STEP_HOSTNAME,
    STEP_AGENT_SOCKET,
    STEP_INIT_CLONE,
    STEP_INIT_ID_MAP,
    STEP_MOUNT_PRIVATE,
    STEP_ROOT_TMPFS,
    STEP_LOWER,
    STEP_OVERLAY,
    STEP_PROC,
    STEP_DEV,
    STEP_SYS,
    STEP_RUN,
    STEP_MASK,
    STEP_PIVOT,
    STEP_CGROUP_NS,
    STEP_RLIMITS,
    STEP_CAPS,
    STEP_NO_NEW_PRIVS,
    STEP_SECCOMP,
    STEP_AGENT_EXEC,
    STEP_MONITOR_ROOT,
    STEP_MONITOR_DROP,
    STEP_TIMEOUT,
    STEP_LANDLOCK,
    STEP_KEYRING,
    STEP_DISK_LAYER,
    STEP_MAX
};
const char *sandbox_step_text(enum sandbox_step step); /* "mount the overlay"; never NULL */

/* Why a sandbox ended. */
enum sandbox_cause {
    CAUSE_UNKNOWN = 0,
    CAUSE_KILLED,       /* asked for */
    CAUSE_TIMEOUT,      /* its monitor's own deadline */
    CAUSE_AGENT_EXIT,   /* envd (PID 1 inside) ended */
    CAUSE_OOM,          /* envd was killed by the memory limit */
    CAUSE_MONITOR_LOST, /* the monitor was killed or crashed */
    CAUSE_START_FAILED,
    CAUSE_MAX
};
const char *sandbox_cause_text(enum sandbox_cause cause); /* "timeout"; never NULL */
/* Is it an end that somebody asked for or that the sandbox came to by itself? An operator looks at the others. */
bool sandbox_cause_is_normal(enum sandbox_cause cause);

struct warden_msg {
    uint32_t type;       /* enum warden_type */
    uint32_t version;    /* WARDEN_VERSION */
    uint64_t request_id; /* echoed; 0 in WARDEN_EXITED */
    int32_t status;      /* answers: 0 or -errno */
    uint32_t step;       /* answers to SPAWN that failed: enum sandbox_step */
    uint32_t cause;      /* EXITED: enum sandbox_cause */
    uint32_t host_uid;   /* ROW and answer to SPAWN: first host uid of the sandbox's range */
    struct sandbox_id id;
    struct image_digest image;    /* SPAWN: of a file STATE/templates/<hex>.erofs, which must
                                     belong to root; ROW */
    struct sandbox_limits limits; /* SPAWN, ROW */
    uint64_t deadline_ns;   /* SPAWN: CLOCK_BOOTTIME, when the monitor ends it by itself */
    uint32_t n_sandboxes;   /* HELLO answer: now; LIST: first slot; its answer: rows sent */
    uint32_t max_sandboxes; /* HELLO answer; LIST answer: next slot */
    uint64_t monitor_pid;   /* ROW and answer to SPAWN: host pid of the monitor, for display and
                               tests */
    struct sandbox_policy policy; /* SPAWN */
    uint64_t oom_kills; /* EXITED, answer to KILL: processes that its memory limit killed */
    uint64_t tripwires; /* likewise: forbidden system calls that were reported */
};
_Static_assert(sizeof(struct warden_msg) == 184, "wire size");
