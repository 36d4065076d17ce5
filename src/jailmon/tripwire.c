/* SPDX-License-Identifier: Apache-2.0 */
#include "jailmon/tripwire.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "sys/filter.h"

#define WINDOW_NS   (60 * NS_PER_S)
#define LOG_BURST   10u
#define LOG_PER_S   1u
#define STRUCT_ROOM 256u /* a newer kernel writes more than our header's struct */

void tripwire_init(struct tripwire *t, int fd, const char *id)
{
    *t = (struct tripwire){ .fd = fd, .id = id };
    (void)token_bucket_init(&t->log, LOG_BURST, LOG_PER_S, clock_mono_ns()); /* constants */
}

bool tripwire_count(struct tripwire *t, int nr, uint64_t now_ns)
{
    unsigned distinct = 0;

    t->count++;
    for (size_t i = 0; i < TRIPWIRE_KINDS_MAX && filter_tripwire_at(i) >= 0; i++) {
        if (filter_tripwire_at(i) == nr)
            t->seen_ns[i] = now_ns;
        distinct += t->seen_ns[i] > 0 && now_ns - t->seen_ns[i] < WINDOW_NS;
    }
    if (distinct < 2 || now_ns < t->quiet_ns)
        return false;
    t->alarms++;
    t->quiet_ns = now_ns + WINDOW_NS;
    return true;
}

/* The pid is that of our pid namespace, since the kernel tells no other. Nothing of the text
 * comes from the sandbox. */
static void tell(struct tripwire *t, const struct seccomp_notif *n)
{
    uint64_t now_ns = clock_mono_ns();
    const char *name = filter_tripwire_name(n->data.nr);
    bool alarm = tripwire_count(t, n->data.nr, now_ns);

    if (!alarm && !token_bucket_take(&t->log, 1, now_ns)) {
        t->unsaid++;
        return;
    }
    if (alarm)
        log_warn("tripwire_alarm", "sandbox=%s syscall=%s nr=%d pid=%u total=%llu", t->id,
                 name ? name : "?", n->data.nr, n->pid, (unsigned long long)t->count);
    else
        log_info("tripwire", "sandbox=%s syscall=%s nr=%d pid=%u unsaid=%llu", t->id,
                 name ? name : "?", n->data.nr, n->pid, (unsigned long long)t->unsaid);
    t->unsaid = 0;
}

/* False if there was none, after all. */
static bool answer_one(struct tripwire *t)
{
    union {
        struct seccomp_notif n;
        char room[STRUCT_ROOM];
    } got;
    union {
        struct seccomp_notif_resp r;
        char room[STRUCT_ROOM];
    } reply;

    memset(&got, 0, sizeof got); /* the kernel insists */
    memset(&reply, 0, sizeof reply);
    if (ioctl(t->fd, SECCOMP_IOCTL_NOTIF_RECV, &got) < 0)
        return false; /* who called was killed meanwhile */
    reply.r.id = got.n.id;
    reply.r.error = -EPERM;
    (void)ioctl(t->fd, SECCOMP_IOCTL_NOTIF_SEND, &reply); /* it may be gone: as good */
    tell(t, &got.n);
    return true;
}

bool tripwire_visit(struct tripwire *t)
{
    for (unsigned i = 0; i < TRIPWIRE_BATCH; i++) {
        struct pollfd p = { t->fd, POLLIN, 0 };
        /* To receive would wait, if there were none. */
        if (poll(&p, 1, 0) != 1)
            return true;
        if (!(p.revents & POLLIN))
            return false;
        (void)answer_one(t);
    }
    return true;
}
