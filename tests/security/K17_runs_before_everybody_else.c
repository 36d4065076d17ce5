// SPDX-License-Identifier: Apache-2.0
// attack: real-time priority
// inside: refused EPERM
#include "probe.h"
#include <sched.h>

int main(void)
{
    struct sched_param p = { .sched_priority = 1 };
    here();
    return outcome(sched_setscheduler(0, SCHED_FIFO, &p));
}
