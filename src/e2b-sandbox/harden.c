/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/harden.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

#define CAP_MAX 64 /* numbers the kernel may know */

/* --- as root --- */

/* First, since it takes a capability. What is not in the bounding set cannot come back by any exec. */
static int drop_bounding_set(struct err *e)
{
    for (unsigned long cap = 0; cap < CAP_MAX; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            break; /* the kernel knows no more */
        if (has == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_set(e, errno, "drop capability %lu from the bounding set", cap);
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_say(e, EPERM, "capability %lu is still in the bounding set", cap);
    }
    return 0;
}

static int prove_ids(uid_t uid, struct err *e)
{
    uid_t r, eff, saved;
    gid_t rg, effg, savedg;

    if (getresuid(&r, &eff, &saved) < 0 || getresgid(&rg, &effg, &savedg) < 0)
        return err_set(e, errno, "read our ids");
    if (r != uid || eff != uid || saved != uid || rg != uid || effg != uid || savedg != uid ||
        getgroups(0, NULL) != 0)
        return err_say(e, EPERM, "the ids were not dropped");
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
        return err_say(e, EPERM, "root can be had back");
    return 0;
}

static int become(uid_t uid, struct err *e)
{
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (drop_bounding_set(e) < 0)
        return -e->code;
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_set(e, errno, "become uid %u", uid);
    /* A change of ids clears it, and then we would outlive our supervisor. */
    if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "set the parent's death signal again");
    return prove_ids(uid, e);
}

/* --- as anybody --- */

static int drop_capabilities(struct err *e)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 }, now[2];

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set(e, errno, "clear the ambient capabilities");
    if (syscall(SYS_capset, &head, none) < 0)
        return err_set(e, errno, "clear the capabilities");
    if (syscall(SYS_capget, &head, now) < 0 || memcmp(now, none, sizeof now) != 0)
        return err_say(e, EPERM, "the capabilities were not cleared");
    return 0;
}

static int forbid_cores(struct err *e)
{
    const struct rlimit zero = { 0, 0 };
    struct rlimit now;

    if (setrlimit(RLIMIT_CORE, &zero) < 0)
        return err_set(e, errno, "forbid core dumps");
    if (getrlimit(RLIMIT_CORE, &now) < 0 || now.rlim_cur != 0 || now.rlim_max != 0)
        return err_say(e, EPERM, "core dumps were not forbidden");
    /* Memory holds keys and tokens: nobody of the same uid may look at it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_say(e, EPERM, "the process can still be dumped");
    return 0;
}

int harden_self(uid_t uid, struct err *e)
{
    if (geteuid() == 0 && become(uid, e) < 0)
        return -e->code;
    if (drop_capabilities(e) < 0 || forbid_cores(e) < 0)
        return -e->code;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_say(e, EPERM, "no_new_privs cannot be set");
    return 0;
}
