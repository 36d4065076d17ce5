/* SPDX-License-Identifier: Apache-2.0 */
/* admit: is there memory for one more sandbox? By what the kernel says now, not by what was promised: idle sandboxes use little
 * of their limit, and the host's other programs are not ours to count. Each sandbox gets at least its reservation. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
#include "warden/warden.h"

#define MIB (UINT64_C(1) << 20)

uint64_t reservation_of(const struct sandbox_limits *l)
{
    return l->memory_bytes < MEMORY_RESERVATION_BYTES ? l->memory_bytes
                                                      : MEMORY_RESERVATION_BYTES;
}

/* MemAvailable of /proc/meminfo, the kernel's own text. */
static int available(uint64_t *bytes)
{
    char text[4096];
    AUTO_CLOSE int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    struct str rest = { text, n > 0 ? (size_t)n : 0 };
    struct str line, name, value, unit;
    uint64_t kib;

    while (rest.n > 0) {
        (void)str_cut(rest, '\n', &line, &rest);
        if (!str_cut(line, ':', &name, &value) || !str_eq(name, STR("MemAvailable")))
            continue;
        (void)str_cut(str_trim(value), ' ', &value, &unit);
        if (num_parse_u64(value, 0, UINT64_MAX / 1024, &kib) < 0)
            return -EINVAL;
        *bytes = kib * 1024;
        return 0;
    }
    return -ENOENT;
}

/* What those that are starting have been let in for, and have not taken yet. */
static uint64_t promised(const struct app *a)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < a->opt.max_sandboxes; i++)
        if (a->slot[i].state == SLOT_STARTING)
            sum += reservation_of(&a->slot[i].rec.limits);
    return sum;
}

int admit(const struct app *a, const struct sandbox_limits *l)
{
    uint64_t wanted = promised(a) + reservation_of(l); /* at most 512 MiB a row of the table */
    uint64_t total = a->opt.total_memory_mib * MIB;
    uint64_t now;

    if (total > 0 && cgroup_host_memory(&a->cgroup) + wanted > total)
        return -EDQUOT;
    if (available(&now) < 0)
        return 0; /* a kernel that does not say; the limits hold all the same */
    return now < a->opt.reserve_memory_mib * MIB + wanted ? -ENOMEM : 0;
}
