/* SPDX-License-Identifier: Apache-2.0 */
/* jailmon_proto: what the warden and the jailmon that it has just cloned say to each other. A
 * SOCK_SEQPACKET pair; fixed structs.
 *
 * The warden clones jailmon as root of a new user namespace and init of a pid namespace, hands it the descriptors below
 * under fixed numbers, closes every other one, sends JAILMON_START and executes it. jailmon
 * answers FORKED (the sandbox's init exists: the warden moves the monitor out of the part of
 * the cgroup that can be frozen), then READY or FAILED, and ENDING before it exits. It reads
 * nothing more from the warden; if that one dies, jailmon and its sandbox live on. */
#pragma once
#include "ipc/ids.h"
#include "ipc/warden_proto.h"

/* The heritage: descriptor numbers at exec. 0, 1 are /dev/null; 2 is the warden's stderr. */
enum jailmon_fd {
    JAILMON_FD_WARDEN = 3, /* this protocol */
    JAILMON_FD_LISTEN = 4, /* bound SEQPACKET socket of the monitor protocol; jailmon calls
                              listen, so that SO_PEERCRED names it */
    JAILMON_FD_LOWER = 5,  /* detached id-mapped mount of the template image */
    JAILMON_FD_AGENT = 6,  /* detached mount of the envd program: to attach and to execute */
    JAILMON_FD_LAYER =
        7, /* if the root is ready, O_PATH of the writable layer; if that is on disk, its
              detached mount; else /dev/null */
    JAILMON_FD_CGROUP =
        8 /* CGROUP_FILE_N descriptors follow; /dev/null where the host has no such file */
};

struct jailmon_start {
    uint32_t version;     /* WARDEN_VERSION */
    uint32_t root_ready;  /* 1: the descriptor that comes as JAILMON_FD_LOWER is the whole root
                             (src/warden/layer.c) */
    uint32_t freezer_v1;  /* 1: the freeze file takes FROZEN and THAWED, else 1 and 0 */
    uint32_t reserved;    /* 0 */
    struct sandbox_id id; /* becomes the host name */
    struct sandbox_limits limits;
    uint64_t deadline_ns; /* CLOCK_BOOTTIME */
    struct sandbox_policy policy;
};
_Static_assert(sizeof(struct jailmon_start) == 104, "wire size");

enum jailmon_event { JAILMON_FORKED = 1, JAILMON_READY, JAILMON_FAILED, JAILMON_ENDING };

struct jailmon_report {
    uint32_t event;     /* enum jailmon_event */
    uint32_t step;      /* FAILED: enum sandbox_step */
    int32_t error;      /* FAILED: errno */
    uint32_t cause;     /* ENDING: enum sandbox_cause */
    uint64_t tripwires; /* ENDING */
};
_Static_assert(sizeof(struct jailmon_report) == 24, "wire size");

#define JAILMON_AGENT_BACKLOG 512 /* connections waiting for envd */
