/* SPDX-License-Identifier: Apache-2.0 */
/* export_filter: writes the filter of workloads to stdout, as bwrap --seccomp reads one: so that the two can be compared with
 * the same filter in both. */
#include <stdio.h>

#include "sys/filter.h"

int main(void)
{
    struct filter f;

    filter_build(&f, FILTER_WORKLOAD);
    return fwrite(f.insn, sizeof f.insn[0], f.n, stdout) == f.n && fflush(stdout) == 0 ? 0 : 1;
}
