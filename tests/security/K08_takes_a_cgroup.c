// SPDX-License-Identifier: Apache-2.0
// attack: mount a hierarchy of control groups and name a program in release_agent, which the host's kernel would run as root
// outside: unshare --mount
// control: got through to (release_agent|a hierarchy)
// inside: refused EPERM, none mounted
#include "probe.h"
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int is_mounted(void)
{
    char line[4096];
    int found = 0;
    FILE *f = fopen("/proc/self/mountinfo", "r");
    must(f != NULL, "open mountinfo");
    while (fgets(line, sizeof line, f))
        found |= strstr(line, " - cgroup") != NULL;
    fclose(f);
    return found;
}

int main(void)
{
    static const char *const way[][2] = {
        { "cgroup", "pids" }, { "cgroup", "memory" }, { "cgroup", "rdma" }, { "cgroup2", NULL }
    };
    char dir[] = "cgroup-XXXXXX", file[64];
    must(mkdtemp(dir) != NULL, "make a directory");
    here();
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        if (mount("none", dir, way[i][0], 0, way[i][1]) < 0) {
            if (errno != EPERM && errno != EBUSY && errno != EINVAL)
                return outcome(-1);
            continue;
        }
        snprintf(file, sizeof file, "%s/release_agent", dir);
        int is_v1 = access(file, W_OK) == 0;
        umount2(dir, MNT_DETACH);
        rmdir(dir);
        return say("got through to %s", is_v1 ? "release_agent" : "a hierarchy");
    }
    rmdir(dir);
    int last = mount("none", "/tmp", "cgroup2", 0, NULL) < 0 ? errno : 0;
    return say("refused %s, %s", strerrorname_np(last),
               is_mounted() ? "one mounted" : "none mounted");
}
