/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/landlock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

#define QUERY_VERSION 1u
#define RULE_PATH     1
#define RULE_PORT     2

struct ruleset_attr { /* of ABI 6; an older kernel is given the part that it knows */
    uint64_t fs, net, scope;
};
struct path_attr {
    uint64_t fs;
    int32_t fd;
} __attribute__((packed));

struct port_attr {
    uint64_t net, port;
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, QUERY_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t fs_of(int abi)
{
    uint64_t fs = abi >= 1 ? LL_FS_REFER - 1 : 0;

    if (abi >= 2)
        fs |= LL_FS_REFER;
    if (abi >= 3)
        fs |= LL_FS_TRUNCATE;
    if (abi >= 5)
        fs |= LL_FS_IOCTL_DEV;
    return fs;
}

static size_t size_of(int abi)
{
    return abi >= 6   ? sizeof(struct ruleset_attr)
           : abi >= 4 ? offsetof(struct ruleset_attr, scope)
                      : offsetof(struct ruleset_attr, net);
}

static bool grants_renames(const struct landlock_rules *r)
{
    for (size_t i = 0; i < r->n_grants; i++)
        if (r->grant[i].fs & LL_FS_REFER)
            return true;
    return false;
}

struct landlock_rules landlock_fit(const struct landlock_rules *want, int abi)
{
    struct landlock_rules r = *want;

    r.fs &= fs_of(abi);
    if (abi < 2 && grants_renames(want))
        r.fs = 0;
    if (abi < 4)
        r.net = 0;
    if (abi < 6)
        r.scope = 0;
    return r;
}

static int add_grants(int ruleset, const struct landlock_rules *r, struct err *e)
{
    for (size_t i = 0; i < r->n_grants; i++) {
        struct path_attr path = { .fs = r->grant[i].fs & r->fs, .fd = r->grant[i].fd };
        if (path.fs != 0 && syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &path, 0) < 0)
            return err_set(e, errno, "add rule %zu to a Landlock ruleset", i);
    }
    const struct port_attr port = { LL_NET_CONNECT, r->connect_port };
    if (r->connect_port && (r->net & LL_NET_CONNECT) &&
        syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &port, 0) < 0)
        return err_set(e, errno, "add a port to a Landlock ruleset");
    return 0;
}

int landlock_restrict(const struct landlock_rules *want, struct err *e)
{
    int abi = landlock_abi();
    struct landlock_rules r = landlock_fit(want, abi);
    const struct ruleset_attr attr = { r.fs, r.net, r.scope };

    if ((r.fs | r.net | r.scope) == 0)
        return 0;
    AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size_of(abi), 0);
    if (ruleset < 0)
        return err_set(e, errno, "make a Landlock ruleset (ABI %d)", abi);
    if (add_grants(ruleset, &r, e) < 0)
        return -e->code;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_set(e, errno, "apply a Landlock ruleset (ABI %d)", abi);
    return abi;
}
