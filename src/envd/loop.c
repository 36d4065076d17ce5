/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

int loop_init(struct loop *l)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

    *l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (l->epoll_fd < 0 || l->wake_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
        int rc = -errno;
        loop_fini(l);
        return rc;
    }
    return 0;
}

void loop_fini(struct loop *l)
{
    if (l->wake_fd >= 0)
        (void)close(l->wake_fd);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->wake_fd = l->epoll_fd = -1;
}

int loop_add(struct loop *l, struct loop_source *s)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_source *s)
{
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL); /* not added: nothing to undo */
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    (void)!write(l->wake_fd, &one, sizeof one); /* full means that it is awake already */
}

static int timeout_ms(uint64_t now_ns, uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return -1;
    if (until_ns <= now_ns)
        return 0;
    uint64_t ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

bool loop_step(struct loop *l, uint64_t now_ns, uint64_t until_ns)
{
    struct epoll_event ev;
    uint64_t count;

    int n = epoll_wait(l->epoll_fd, &ev, 1, timeout_ms(now_ns, until_ns));
    if (n <= 0)
        return true;
    struct loop_source *s = ev.data.ptr;
    if (!s) {
        (void)!read(l->wake_fd, &count, sizeof count);
        return true;
    }
    s->ready(s, ev.events);
    return until_ns <= now_ns; /* busy sources must not keep the caller from its deadlines */
}
