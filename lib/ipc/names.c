/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "ipc/warden_proto.h"

static const char *const step_text[STEP_MAX] = {
    [STEP_NONE] = "no step",
    [STEP_ADMIT] = "admit the request",
    [STEP_RECORD] = "write the sandbox's record",
    [STEP_IMAGE] = "open the template image",
    [STEP_CGROUP] = "create the cgroup and set its limits",
    [STEP_CLONE] = "clone the monitor",
    [STEP_ID_MAP] = "write the monitor's id map",
    [STEP_IDMAP_MOUNT] = "make the id-mapped image mount",
    [STEP_MONITOR_EXEC] = "execute the monitor",
    [STEP_NETNS] = "make the network namespace",
    [STEP_HOSTNAME] = "set the host name",
    [STEP_AGENT_SOCKET] = "open the agent's socket",
    [STEP_INIT_CLONE] = "clone the sandbox's init",
    [STEP_INIT_ID_MAP] = "write the sandbox's id map",
    [STEP_MOUNT_PRIVATE] = "make the mount tree private",
    [STEP_ROOT_TMPFS] = "mount the writable layer",
    [STEP_LOWER] = "attach the template image",
    [STEP_OVERLAY] = "mount the overlay",
    [STEP_PROC] = "mount /proc",
    [STEP_DEV] = "make /dev",
    [STEP_SYS] = "make /sys",
    [STEP_RUN] = "make /run",
    [STEP_MASK] = "mask kernel files",
    [STEP_PIVOT] = "enter the new root",
    [STEP_CGROUP_NS] = "unshare the cgroup namespace",
    [STEP_RLIMITS] = "set resource limits",
    [STEP_CAPS] = "drop capabilities",
    [STEP_NO_NEW_PRIVS] = "set no_new_privs",
    [STEP_SECCOMP] = "load the system call filter",
    [STEP_AGENT_EXEC] = "execute envd",
    [STEP_MONITOR_ROOT] = "empty the monitor's root",
    [STEP_MONITOR_DROP] = "drop the monitor's privileges",
    [STEP_TIMEOUT] = "start within the time limit",
    [STEP_LANDLOCK] = "apply the Landlock rules",
    [STEP_KEYRING] = "join a keyring of its own",
    [STEP_DISK_LAYER] = "make the writable layer on disk",
};

static const char *const cause_text[CAUSE_MAX] = {
    [CAUSE_UNKNOWN] = "unknown",
    [CAUSE_KILLED] = "killed",
    [CAUSE_TIMEOUT] = "timeout",
    [CAUSE_AGENT_EXIT] = "agent_exit",
    [CAUSE_OOM] = "oom",
    [CAUSE_MONITOR_LOST] = "monitor_lost",
    [CAUSE_START_FAILED] = "start_failed",
};

const char *sandbox_step_text(enum sandbox_step step)
{
    return step < ARRAY_LEN(step_text) && step_text[step] ? step_text[step] : "an unknown step";
}

const char *sandbox_cause_text(enum sandbox_cause cause)
{
    return cause < ARRAY_LEN(cause_text) && cause_text[cause] ? cause_text[cause] : "unknown";
}

bool sandbox_cause_is_normal(enum sandbox_cause cause)
{
    return cause == CAUSE_KILLED || cause == CAUSE_TIMEOUT || cause == CAUSE_AGENT_EXIT;
}
