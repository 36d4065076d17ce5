/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"

#define TEXT_MAX  16384
#define SAMPLE_NS 50000000
#define MIB       UINT64_C(1048576)

static struct str read_text(const char *path, char out[TEXT_MAX])
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, TEXT_MAX);
    return (struct str){ out, n > 0 ? (size_t)n : 0 };
}

static bool next_number(struct str *line, uint64_t *out)
{
    struct str word;
    *line = str_trim(*line);
    (void)str_cut(*line, ' ', &word, line);
    return num_parse_u64(word, 0, UINT64_MAX, out) == 0;
}

int metrics_parse_stat(struct str text, struct metrics_cpu *out)
{
    struct metrics_cpu cpu = { 0 };
    struct str line, rest;
    uint64_t n;

    (void)str_cut(text, '\n', &line, &rest);
    if (!str_starts(line, STR("cpu ")))
        return -EINVAL;
    line = str_sub(line, 4, line.n);
    /* user nice system idle iowait irq softirq steal; guest times are in user already */
    for (unsigned i = 0; i < 8; i++) {
        if (!next_number(&line, &n))
            return -EINVAL;
        cpu.total += n;
        if (i != 3 && i != 4)
            cpu.busy += n;
    }
    *out = cpu;
    return 0;
}

uint64_t metrics_meminfo(struct str text, const char *name)
{
    struct str line, key, value;
    uint64_t kib;

    while (text.n > 0) {
        (void)str_cut(text, '\n', &line, &text);
        if (!str_cut(line, ':', &key, &value) || !str_eq(key, str_from(name)))
            continue;
        return next_number(&value, &kib) && kib <= UINT64_MAX / 1024 ? kib * 1024 : 0;
    }
    return 0;
}

static double cpu_percent(unsigned cpus)
{
    static const struct timespec sample = { .tv_nsec = SAMPLE_NS };
    char text[TEXT_MAX];
    struct metrics_cpu a, b;

    if (metrics_parse_stat(read_text("/proc/stat", text), &a) < 0)
        return 0;
    (void)nanosleep(&sample, NULL);
    if (metrics_parse_stat(read_text("/proc/stat", text), &b) < 0 || b.total <= a.total ||
        b.busy < a.busy)
        return 0;
    return 100.0 * cpus * (double)(b.busy - a.busy) / (double)(b.total - a.total);
}

void metrics_write(struct buf *out)
{
    char text[TEXT_MAX];
    struct statvfs fs = { 0 };
    cpu_set_t set;

    unsigned cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    double used_pct = cpu_percent(cpus);
    struct str meminfo = read_text("/proc/meminfo", text);
    uint64_t total = metrics_meminfo(meminfo, "MemTotal");
    uint64_t available = metrics_meminfo(meminfo, "MemAvailable");
    uint64_t cache = metrics_meminfo(meminfo, "Cached");
    uint64_t used = available < total ? total - available : 0;
    (void)statvfs("/", &fs); /* zeros if it fails */
    uint64_t disk = (uint64_t)fs.f_blocks * fs.f_frsize;
    uint64_t disk_used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;

    buf_addf(out,
             "{\"ts\":%" PRIu64 ",\"cpu_count\":%u,\"cpu_used_pct\":%.2f,\"mem_total\":%" PRIu64
             ",\"mem_used\":%" PRIu64 ",\"mem_cache\":%" PRIu64 ",\"mem_total_mib\":%" PRIu64
             ",\"mem_used_mib\":%" PRIu64 ",\"disk_used\":%" PRIu64 ",\"disk_total\":%" PRIu64
             "}",
             clock_real_ns() / NS_PER_S, cpus, used_pct, total, used, cache, total / MIB,
             used / MIB, disk_used, disk);
}
