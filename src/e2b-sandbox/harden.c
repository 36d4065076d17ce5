/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/harden.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys/filter.h"
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

int harden_self(uid_t uid, struct err *e)
{
    struct filter filter;

    if (geteuid() == 0 && become(uid, e) < 0)
        return -e->code;
    if (task_set_caps(0, e) < 0 || hide_memory(e) < 0 || task_no_new_privs(e) < 0)
        return -e->code;
    /* Threads made from now on inherit it. */
    filter_build(&filter, FILTER_API);
    return filter_load(&filter, e);
}
