// SPDX-License-Identifier: Apache-2.0
// attack: open a performance counter
// inside: refused EPERM
#include "probe.h"
#include <linux/perf_event.h>
#include <sys/syscall.h>

int main(void)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof attr,
                                    .config = PERF_COUNT_SW_CPU_CLOCK };
    here();
    return outcome(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}
