/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/isolation: what really separates a sandbox from its host, as the kernel tells it: read from /proc of the sandbox's first
 * process, not from what was asked for. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct isolation {    /* of one process */
    uint32_t uid;     /* as the host sees it */
    unsigned seccomp; /* 2 = filter */
    bool no_new_privs;
    uint64_t cap_effective, cap_bounding;
    unsigned pid_namespaces; /* depth below ours; 0 = shares it */
};

/* Parses the text of /proc/PID/status. Pure. False if a line is missing. */
bool isolation_parse(struct str status, struct isolation *out);
/* Reads it; false if the process is gone or hidden from us, or does not belong to uids first..first + 65535. */
bool isolation_read(uint32_t pid, uint32_t first_uid, struct isolation *out);
