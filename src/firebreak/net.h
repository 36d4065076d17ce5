/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/net: what `up --internet allow` needs of the host beside netd: IPv4 forwarding. The host's own traffic must not be
 * forwarded because of us, so it is turned on only while netd's table refuses that, and off again by the last instance that
 * needed it. A file in /run remembers what it was, and is locked by those who need it: killing us loses nothing. */
#pragma once
#include <stdbool.h>

#include "base/err.h"

struct net_forwarding {
    int fd;         /* the locked file; -1: not asked for */
    bool was_off;   /* before any of us: netd must guard it */
    bool turned_on; /* by this call of net_forward_on */
};
/* Looks, and takes the lock; changes nothing yet. */
int net_forward_look(struct net_forwarding *f, struct err *e);
/* Turns it on if it is off. */
int net_forward_on(struct net_forwarding *f, struct err *e);
/* Turns it off again if it was off and nobody else needs it. */
void net_forward_done(struct net_forwarding *f);
