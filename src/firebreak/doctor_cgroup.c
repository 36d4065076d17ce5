/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "firebreak/cli.h"
#include "firebreak/doctor.h"

static bool is_mount_of(const char *path, long magic)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == magic;
}

static bool has_word(const char *text, const char *word)
{
    struct str rest = str_from(text), head;
    bool more;

    do {
        more = str_cut(rest, ' ', &head, &rest);
        if (str_eq(head, str_from(word)))
            return true;
    } while (more);
    return false;
}

/* Where the limits of one duty come from: "v2", "v1" or NULL. */
static const char *controller(const char *v2_controllers, const char *name)
{
    char path[64];

    if (has_word(v2_controllers, name))
        return "v2";
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name);
    return is_mount_of(path, CGROUP_SUPER_MAGIC) ? "v1" : NULL;
}

static void check_controllers(struct doctor *d, const char *v2, const char *v2_controllers)
{
    static const struct {
        const char *name, *id;
    } wanted[] = { { "memory", "cgroup_memory" },
                   { "cpu", "cgroup_cpu" },
                   { "pids", "cgroup_pids" } };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const char *where = controller(v2_controllers, wanted[i].name);
        if (where)
            doctor_add(d, CHECK_PASS, wanted[i].id, NULL, "limits are enforced by cgroup %s",
                       where);
        else
            doctor_add(d, CHECK_FAIL, wanted[i].id,
                       "boot with systemd.unified_cgroup_hierarchy=1, or mount the controller",
                       "controller '%s' is neither in v2 nor mounted as v1", wanted[i].name);
    }
    bool v1_freezer = is_mount_of("/sys/fs/cgroup/freezer", CGROUP_SUPER_MAGIC);
    if (v2 || v1_freezer)
        doctor_add(d, CHECK_PASS, "cgroup_freeze", NULL, "freeze%s by cgroup %s",
                   v2 ? " and kill" : "", v2 ? "v2" : "v1");
    else
        doctor_add(d, CHECK_FAIL, "cgroup_freeze", "mount cgroup v2",
                   "neither v2 nor the v1 freezer is mounted");
}

/* Moving a process between cgroups costs some 11 ms unless the kernel favours it (spec jail, section C). */
static void check_favordynmods(struct doctor *d)
{
    static char mounts[65536];
    (void)cli_read_file("/proc/mounts", mounts, sizeof mounts - 1);
    if (strstr(mounts, "favordynmods"))
        doctor_add(d, CHECK_PASS, "cgroup_favordynmods", NULL, "on (mount option)");
    else if (doctor_release() >= 6000)
        doctor_add(d, CHECK_PASS, "cgroup_favordynmods", NULL,
                   "this kernel has it; the warden switches it on when it starts");
    else
        doctor_add(d, CHECK_WARN, "cgroup_favordynmods",
                   "Linux 6.0 or later starts sandboxes faster",
                   "this kernel lacks it: each start takes some 11 ms more");
}

static const char *find_v2(void)
{
    static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (is_mount_of(places[i], CGROUP2_SUPER_MAGIC))
            return places[i];
    return NULL;
}

void doctor_cgroup(struct doctor *d)
{
    const char *v2 = find_v2();
    bool v1 = is_mount_of("/sys/fs/cgroup/memory", CGROUP_SUPER_MAGIC) ||
              is_mount_of("/sys/fs/cgroup/pids", CGROUP_SUPER_MAGIC);
    char path[64], controllers[256] = "";

    if (v2) {
        (void)snprintf(path, sizeof path, "%s/cgroup.controllers", v2);
        (void)doctor_read(path, controllers, sizeof controllers);
        doctor_add(d, CHECK_PASS, "cgroup", NULL, "%s; v2 at %s with controllers: %s",
                   v1 ? "hybrid" : "v2", v2, *controllers ? controllers : "none");
    } else if (v1) {
        doctor_add(d, CHECK_PASS, "cgroup", NULL, "v1");
    } else {
        doctor_add(d, CHECK_FAIL, "cgroup", "mount -t cgroup2 none /sys/fs/cgroup",
                   "no cgroup file system at /sys/fs/cgroup");
    }
    check_controllers(d, v2, controllers);
    check_favordynmods(d);
}
