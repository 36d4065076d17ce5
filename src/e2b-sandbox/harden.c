/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/filter.h"
#include "sys/landlock.h"
#include "sys/task.h"

static int become(uid_t uid, struct err *e)
{
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (task_limit_bounding(0, e) < 0 || task_set_ids(uid, uid, e) < 0)
        return -e->code;
    /* A change of ids clears it, and then we would outlive our supervisor. */
    if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "set the parent's death signal again");
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
        return err_say(e, EPERM, "root can be had back");
    return 0;
}

/* Memory holds keys and tokens: no core, and nobody of the same uid may look at it. */
static int hide_memory(struct err *e)
{
    if (task_limit(RLIMIT_CORE, TASK_NO_CORE, e) < 0)
        return -e->code;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_say(e, EPERM, "the process can still be dumped");
    return 0;
}

#define READ  (LL_FS_READ_FILE | LL_FS_READ_DIR)
#define WRITE (READ | LL_FS_WRITE_FILE | LL_FS_TRUNCATE | LL_FS_MAKE_REG | LL_FS_REMOVE_FILE)

static const struct {
    const char *path; /* from state_dir unless it is absolute */
    uint64_t fs;
} files[] = {
    { "db", WRITE },
    { "templates", READ },
    { "/proc", READ }, /* describes the isolation of sandboxes, and itself in /metrics */
    { "/dev/null", LL_FS_READ_FILE },
    { "/dev/urandom", LL_FS_READ_FILE }, /* SQLite */
};

/* Nothing but the above. Proved by the root, which anybody may read. */
static int restrict_files(const char *state_dir, struct err *e)
{
    struct landlock_grant grant[ARRAY_LEN(files)];
    struct landlock_rules rules = { .fs = LL_FS_ALL,
                                    .net = LL_NET_BIND_TCP | LL_NET_CONNECT,
                                    .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
                                    .grant = grant };
    AUTO_CLOSE int state = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int abi = -1;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        int fd = openat(state, files[i].path, O_PATH | O_CLOEXEC);
        if (fd >= 0) /* else there is nothing to permit, and who needs it will say so */
            grant[rules.n_grants++] = (struct landlock_grant){ fd, files[i].fs };
    }
    if (state >= 0)
        abi = landlock_restrict(&rules, e);
    else
        (void)err_set(e, errno, "open '%s'", state_dir);
    for (size_t i = 0; i < rules.n_grants; i++)
        (void)close(grant[i].fd);
    AUTO_CLOSE int proof = abi > 0 ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (proof >= 0)
        return err_say(e, EPERM, "Landlock does not hold");
    return abi < 0 ? -e->code : 0;
}

int harden_self(uid_t uid, const char *state_dir, struct err *e)
{
    struct filter filter;

    if (geteuid() == 0 && become(uid, e) < 0)
        return -e->code;
    if (task_set_caps(0, e) < 0 || hide_memory(e) < 0 || task_no_new_privs(e) < 0 ||
        restrict_files(state_dir, e) < 0)
        return -e->code;
    /* Threads made from now on inherit it. */
    filter_build(&filter, FILTER_API);
    return filter_load(&filter, e);
}
