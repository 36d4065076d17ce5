/* SPDX-License-Identifier: Apache-2.0 */
/* How many sandboxes the settings of this machine have room for, whatever its memory. Kernel: Documentation/admin-guide/sysctl. */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/num.h"
#include "firebreak/doctor.h"

#define WANTED          4096u /* rows of the warden's table */
#define WARDEN_OWN_FDS  512u
#define HOST_PIDS       4096u /* processes and threads of the host's own */
#define PIDS_OF_EACH    1024u /* e2b-sandbox --pids unless told otherwise */
#define USUAL_SANDBOXES 64u   /* warden --max-sandboxes unless told otherwise */
#define INOTIFY_OF_EACH 64u   /* what one sandbox may take (src/jailmon/build.c) */

/* A setting, and how much of it an idle sandbox takes. The user.* ones count per user of the host, and all sandboxes are root's. */
static const struct {
    const char *name;
    unsigned each;
} settings[] = {
    { "kernel/pid_max", 4 },           { "user/max_user_namespaces", 2 },
    { "user/max_mnt_namespaces", 2 },  { "user/max_pid_namespaces", 1 },
    { "user/max_net_namespaces", 1 },  { "user/max_ipc_namespaces", 1 },
    { "user/max_uts_namespaces", 1 },  { "user/max_cgroup_namespaces", 1 },
    { "user/max_time_namespaces", 1 },
};

static bool read_setting(const char *name, uint64_t *value)
{
    char path[96], text[32];

    (void)snprintf(path, sizeof path, "/proc/sys/%s", name);
    return doctor_read(path, text, sizeof text) &&
           num_parse_u64(str_from(text), 0, UINT64_MAX, value) == 0;
}

static void check_room(struct doctor *d)
{
    uint64_t least = UINT64_MAX, value;
    const char *why = "no setting";
    struct rlimit files;

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (read_setting(settings[i].name, &value) && value / settings[i].each < least) {
            least = value / settings[i].each;
            why = settings[i].name;
        }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max > WARDEN_OWN_FDS &&
        (files.rlim_max - WARDEN_OWN_FDS) / 2 < least) {
        least = (files.rlim_max - WARDEN_OWN_FDS) / 2;
        why = "the hard limit of open files (ulimit -Hn)";
    }
    doctor_add(d, least >= WANTED ? CHECK_PASS : CHECK_WARN, "capacity",
               "raise it, if you mean to run so many",
               "settings have room for %llu idle sandboxes; %s is the tightest",
               (unsigned long long)least, why);
}

/* Charged to root for all sandboxes together: a few that take all they may leave none to the others. */
static void check_inotify(struct doctor *d)
{
    uint64_t value;

    if (!read_setting("fs/inotify/max_user_instances", &value))
        return;
    doctor_add(
        d, value >= UINT64_C(16) * INOTIFY_OF_EACH ? CHECK_PASS : CHECK_WARN, "inotify",
        "sysctl -w fs.inotify.max_user_instances=65536",
        "fs.inotify.max_user_instances=%llu: %llu sandboxes can have all the %u that each "
        "may take",
        (unsigned long long)value, (unsigned long long)(value / INOTIFY_OF_EACH),
        INOTIFY_OF_EACH);
}

/* The cap of the instance that runs (up --total-pids), as its cgroup has it; 0: none. */
static uint64_t total_pids(const struct doctor *d)
{
    static const char *const parent[] = { "/sys/fs/cgroup/pids", "/sys/fs/cgroup",
                                          "/sys/fs/cgroup/unified" };
    bool is_default = strcmp(d->place.instance, "default") == 0;
    char path[160], text[32];
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(parent); i++) {
        (void)snprintf(path, sizeof path, "%s/e2b-sandbox%s%.32s/pids.max", parent[i],
                       is_default ? "" : "-", is_default ? "" : d->place.instance);
        if (doctor_read(path, text, sizeof text) &&
            num_parse_u64(str_from(text), 1, UINT64_MAX, &n) == 0)
            return n;
    }
    return 0;
}

/* A host that has no pid left can start nothing, not even what would end a sandbox. */
static void check_pids(struct doctor *d)
{
    uint64_t most, cap = total_pids(d);

    if (!read_setting("kernel/pid_max", &most))
        return;
    uint64_t room = most > HOST_PIDS ? most - HOST_PIDS : 0;
    if (cap > 0)
        doctor_add(d, cap <= room ? CHECK_PASS : CHECK_WARN, "pid_max",
                   "sysctl -w kernel.pid_max=4194304, or a lower --total-pids",
                   "kernel.pid_max=%llu: the sandboxes of this instance may have %llu together",
                   (unsigned long long)most, (unsigned long long)cap);
    else
        doctor_add(d, room / PIDS_OF_EACH >= USUAL_SANDBOXES ? CHECK_PASS : CHECK_WARN,
                   "pid_max", "sysctl -w kernel.pid_max=4194304, or firebreak up --total-pids",
                   "kernel.pid_max=%llu: without --total-pids, %llu sandboxes with all the %u "
                   "processes of each leave the host none",
                   (unsigned long long)most, (unsigned long long)(room / PIDS_OF_EACH),
                   PIDS_OF_EACH);
}

/* src/warden/spawn.c sets it; our root is the warden's. */
static void check_oom_floor(struct doctor *d)
{
    bool can = prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1;

    doctor_add(
        d, can ? CHECK_PASS : CHECK_WARN, "oom_floor",
        "give root CAP_SYS_RESOURCE, or cap the sandboxes' memory: firebreak up --total-memory",
        can ? "a sandbox cannot lower its oom_score_adj below 250"
            : "no CAP_SYS_RESOURCE: a sandbox can lower its oom_score_adj to that of the "
              "host's programs");
}

void doctor_capacity(struct doctor *d)
{
    check_room(d);
    check_pids(d);
    check_oom_floor(d);
    check_inotify(d);
}
