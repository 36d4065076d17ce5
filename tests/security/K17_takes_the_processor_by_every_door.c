// SPDX-License-Identifier: Apache-2.0
// attack: a higher priority by nice, real-time and deadline scheduling, input-output class, and memory that cannot be taken away
// control: .*got through.*
// inside: nice EPERM, fifo EPERM, round robin EPERM, deadline EPERM, io class EPERM, lock 256 MiB (ENOMEM|EPERM), raise the limit EPERM
#include "probe.h"
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct attr {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
};
static char line[512];

static void one(const char *name, long rc)
{
    size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, "%s%s %s", n ? ", " : "", name,
             rc >= 0 ? "got through" : strerrorname_np(errno));
}

int main(void)
{
    struct attr fifo = { .size = sizeof fifo, .policy = SCHED_FIFO, .priority = 1 };
    struct attr robin = { .size = sizeof robin, .policy = SCHED_RR, .priority = 1 };
    struct attr deadline = { sizeof deadline, 6, 0, 0, 0, 1000000, 10000000, 10000000 };
    struct rlimit most = { RLIM_INFINITY, RLIM_INFINITY };
    void *p = mmap(NULL, 256 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED, "reserve memory");
    here();
    one("nice", setpriority(PRIO_PROCESS, 0, -20) == 0
                    ? 0
                    : (errno = errno == EACCES ? EPERM : errno, -1));
    one("fifo", syscall(SYS_sched_setattr, 0, &fifo, 0));
    one("round robin", syscall(SYS_sched_setattr, 0, &robin, 0));
    one("deadline", syscall(SYS_sched_setattr, 0, &deadline, 0));
    one("io class", syscall(SYS_ioprio_set, 1, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0)));
    one("lock 256 MiB", mlock(p, 256 << 20));
    one("raise the limit", setrlimit(RLIMIT_MEMLOCK, &most));
    return say("%s", line);
}
