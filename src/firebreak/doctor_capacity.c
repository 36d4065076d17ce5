/* SPDX-License-Identifier: Apache-2.0 */
/* How many sandboxes the settings of this machine have room for, whatever its memory. Kernel: Documentation/admin-guide/sysctl. */
#include <stdio.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/num.h"
#include "firebreak/doctor.h"

#define WANTED          4096u /* rows of the warden's table */
#define WARDEN_OWN_FDS  512u
#define INOTIFY_OF_EACH 64u /* what one sandbox may take (src/jailmon/build.c) */

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

void doctor_capacity(struct doctor *d)
{
    check_room(d);
    check_inotify(d);
}
