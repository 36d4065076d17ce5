/* SPDX-License-Identifier: Apache-2.0 */
/* What netd's main.c has, for tests of its parts that have no loop. */
#pragma once
#include <errno.h>

#include "netd/netd.h"

int watch_add(struct netd *d, struct watch *w, uint32_t events)
{
    (void)d;
    (void)w;
    (void)events;
    return -ENOSYS;
}
int watch_change(struct netd *d, struct watch *w, uint32_t events)
{
    return watch_add(d, w, events);
}
void watch_remove(struct netd *d, struct watch *w)
{
    (void)watch_add(d, w, 0);
}
void watch_close(struct netd *d, struct watch *w)
{
    (void)watch_add(d, w, 0);
}
int listen_on_gateway(struct netd *d, uint16_t port, int *fd, struct err *e)
{
    (void)d;
    (void)port;
    (void)fd;
    return err_set(e, ENOSYS, "no loop");
}
