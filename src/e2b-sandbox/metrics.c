/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"

static const char *const class_name[CLASSES] = {
    [CLASS_CREATE] = "sandbox_create",
    [CLASS_LIST] = "sandbox_list",
    [CLASS_GET] = "sandbox_get",
    [CLASS_KILL] = "sandbox_kill",
    [CLASS_TIMEOUT] = "sandbox_timeout",
    [CLASS_CONNECT] = "sandbox_connect",
    [CLASS_SANDBOX_METRICS] = "sandbox_metrics",
    [CLASS_TEMPLATES] = "templates",
    [CLASS_ADMIN] = "admin",
    [CLASS_HEALTH] = "health",
    [CLASS_METRICS] = "metrics",
    [CLASS_SANDBOX_PORT] = "sandbox_port",
    [CLASS_OTHER] = "other",
};

static const struct {
    uint64_t ns;
    const char *text;
} bound[HISTOGRAM_BUCKETS] = {
    { NS_PER_MS, "0.001" },      { 5 * NS_PER_MS, "0.005" }, { 10 * NS_PER_MS, "0.01" },
    { 25 * NS_PER_MS, "0.025" }, { 50 * NS_PER_MS, "0.05" }, { 100 * NS_PER_MS, "0.1" },
    { 250 * NS_PER_MS, "0.25" }, { 500 * NS_PER_MS, "0.5" }, { NS_PER_S, "1" },
    { 2500 * NS_PER_MS, "2.5" }, { 5 * NS_PER_S, "5" },      { 10 * NS_PER_S, "10" },
    { 60 * NS_PER_S, "60" },     { 300 * NS_PER_S, "300" },
};

void histogram_add(struct histogram *h, uint64_t ns)
{
    size_t i = 0;

    while (i < HISTOGRAM_BUCKETS && ns > bound[i].ns)
        i++;
    (void)atomic_fetch_add(&h->bucket[i], 1);
    (void)atomic_fetch_add(&h->sum_ns, ns);
}

void metrics_request(struct metrics *m, enum route_class class, unsigned status,
                     uint64_t took_ns)
{
    (void)atomic_fetch_add(&m->requests[class][status < 600 ? status / 100 : 5], 1);
    histogram_add(&m->request_time, took_ns);
}

/* --- text --- */

static void help(struct buf *b, const char *name, const char *type, const char *text)
{
    buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, text, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *text, uint64_t v)
{
    help(b, name, type, text);
    buf_addf(b, "%s %" PRIu64 "\n", name, v);
}

static void seconds(struct buf *b, uint64_t ns)
{
    buf_addf(b, "%" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_S, ns % NS_PER_S);
}

static void histogram_write(struct buf *b, const char *name, const char *text,
                            struct histogram *h)
{
    uint64_t n = 0;

    help(b, name, "histogram", text);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        n += atomic_load(&h->bucket[i]);
        buf_addf(b, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, bound[i].text, n);
    }
    n += atomic_load(&h->bucket[HISTOGRAM_BUCKETS]);
    buf_addf(b, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, n, name);
    seconds(b, atomic_load(&h->sum_ns));
    buf_addf(b, "%s_count %" PRIu64 "\n", name, n);
}

static void requests_write(struct metrics *m, struct buf *b)
{
    static const char *const code[] = { "gone", "1xx", "2xx", "3xx", "4xx", "5xx" };

    help(b, "http_requests_total", "counter",
         "Requests answered, by route and class of the status.");
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t s = 0; s < ARRAY_LEN(code); s++)
            buf_addf(b, "http_requests_total{route=\"%s\",code=\"%s\"} %llu\n", class_name[c],
                     code[s], atomic_load(&m->requests[c][s]));
}

static void sandboxes_write(struct metrics *m, const struct metrics_now *now, struct buf *b)
{
    help(b, "e2b_sandboxes_active", "gauge", "Sandboxes that run.");
    buf_addf(b, "e2b_sandboxes_active{service=\"e2b-sandbox\"} %u\n", now->running);
    help(b, "firebreak_sandboxes", "gauge", "Sandboxes by state.");
    buf_addf(b,
             "firebreak_sandboxes{state=\"running\"} "
             "%u\nfirebreak_sandboxes{state=\"starting\"} %u\n"
             "firebreak_sandboxes{state=\"stopping\"} %u\n",
             now->running, now->starting, now->stopping);
    one(b, "firebreak_sandboxes_max", "gauge", "Sandboxes that may be there at once.",
        now->max_sandboxes);
    one(b, "e2b_sandboxes_created_total", "counter", "Sandboxes that came up.",
        atomic_load(&m->created));
    one(b, "e2b_sandbox_create_failed_total", "counter", "Sandboxes that did not come up.",
        atomic_load(&m->create_failed));
    histogram_write(b, "e2b_sandbox_create_duration_seconds",
                    "Time from the request to a sandbox whose envd answers.", &m->create_time);
    help(b, "e2b_sandbox_ended_total", "counter", "Sandboxes that ended, by cause.");
    for (int c = 0; c < CAUSE_MAX; c++)
        buf_addf(b, "e2b_sandbox_ended_total{cause=\"%s\"} %llu\n",
                 sandbox_cause_text((enum sandbox_cause)c), atomic_load(&m->ended[c]));
    one(b, "e2b_pool_ready", "gauge", "Sandboxes held ready for creations to come.",
        now->pool_ready);
    one(b, "e2b_pool_starting", "gauge", "Sandboxes that are being made ready.",
        now->pool_making);
    one(b, "e2b_pool_hits_total", "counter", "Creations that found a ready sandbox.",
        now->pool_hits);
    one(b, "e2b_pool_misses_total", "counter", "Creations that did not.", now->pool_misses);
    one(b, "e2b_oom_kills_total", "counter",
        "Processes killed by the memory limits of sandboxes.",
        atomic_load(&m->oom_kills) + now->oom_kills);
    one(b, "e2b_tripwires_total", "counter",
        "Forbidden system calls that only attacks and probes make.",
        atomic_load(&m->tripwires) + now->tripwires);
}

static uint64_t quantile(const struct metrics_now *now, unsigned percent)
{
    return now->n_memory > 0 ? now->memory[(now->n_memory - 1) * percent / 100] : 0;
}

static void memory_write(const struct metrics_now *now, struct buf *b)
{
    static const struct {
        unsigned percent;
        const char *text;
    } q[] = { { 50, "0.5" }, { 90, "0.9" }, { 95, "0.95" }, { 99, "0.99" } };

    help(b, "e2b_sandbox_memory_bytes", "summary", "Memory charged to the sandboxes that run.");
    for (size_t i = 0; i < ARRAY_LEN(q); i++)
        buf_addf(b, "e2b_sandbox_memory_bytes{quantile=\"%s\"} %" PRIu64 "\n", q[i].text,
                 quantile(now, q[i].percent));
    buf_addf(b, "e2b_sandbox_memory_bytes_sum %" PRIu64 "\ne2b_sandbox_memory_bytes_count %u\n",
             now->memory_sum, now->n_memory);
    one(b, "e2b_sandbox_memory_max_bytes", "gauge", "Memory of the sandbox that has most.",
        quantile(now, 100));
}

static uint64_t resident_bytes(void)
{
    char text[128];
    uint64_t pages = 0;
    struct str size, rest;
    AUTO_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (n <= 0)
        return 0;
    (void)str_cut((struct str){ text, (size_t)n }, ' ', &size, &rest);
    (void)str_cut(rest, ' ', &size, &rest);
    (void)num_parse_u64(size, 0, UINT64_MAX / 65536, &pages); /* not a number: 0 */
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");

    if (!d)
        return 0;
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n > 3 ? n - 3 : 0; /* ".", ".." and this one */
}

static void process_write(const struct metrics_now *now, struct buf *b)
{
    struct rusage used = { 0 };
    struct rlimit files = { 0 };

    (void)getrusage(RUSAGE_SELF, &used); /* cannot fail with these arguments */
    (void)getrlimit(RLIMIT_NOFILE, &files);
    one(b, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
        resident_bytes());
    one(b, "process_open_fds", "gauge", "Number of open file descriptors.", open_fds());
    one(b, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
        files.rlim_cur);
    help(b, "process_cpu_seconds_total", "counter",
         "Total user and system CPU time spent in seconds.");
    buf_addf(b, "process_cpu_seconds_total ");
    seconds(b, (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * NS_PER_S +
                   (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000);
    help(b, "process_start_time_seconds", "gauge",
         "Start time of the process since unix epoch in seconds.");
    buf_addf(b, "process_start_time_seconds ");
    seconds(b, now->start_real_ns);
}

static void server_write(struct metrics *m, const struct metrics_now *now, struct buf *b)
{
    one(b, "http_connections", "gauge", "Open client connections.", now->conns);
    one(b, "http_relays", "gauge", "Exchanges and tunnels with ports of sandboxes.",
        now->relays);
    one(b, "http_handler_threads", "gauge", "Threads of the handler pool.", now->threads);
    one(b, "http_handler_threads_busy", "gauge", "Threads that run a handler.",
        now->busy_threads);
    one(b, "http_connections_accepted_total", "counter", "Client connections accepted.",
        now->accepted);
    one(b, "http_heads_refused_total", "counter", "Request heads that broke the rules of HTTP.",
        now->refused_heads);
    one(b, "http_requests_refused_busy_total", "counter",
        "Requests refused since all threads were busy.", now->refused_busy);
    help(b, "http_relayed_bytes_total", "counter", "Bytes relayed to and from sandboxes.");
    buf_addf(b,
             "http_relayed_bytes_total{direction=\"up\"} "
             "%llu\nhttp_relayed_bytes_total{direction=\"down\"} %llu\n",
             atomic_load(&m->relayed_up), atomic_load(&m->relayed_down));
}

static void record_write(const struct metrics_now *now, struct buf *b)
{
    if (!now->has_recorder)
        return;
    one(b, "e2b_audit_ready", "gauge", "Can what is new be recorded? 0: it is refused.",
        now->recorder_ready);
    one(b, "e2b_audit_queue", "gauge", "Records that are not durable yet.", now->record_queue);
    one(b, "e2b_audit_dropped_total", "counter", "Records for which there was no room.",
        now->record_dropped);
    one(b, "e2b_audit_spool", "gauge", "Durable records that are not in Loki yet.",
        now->record_backlog);
    one(b, "e2b_audit_spool_lost_total", "counter",
        "Records whose time was over before they were in Loki.", now->record_lost);
}

void metrics_write(struct metrics *m, const struct metrics_now *now, struct buf *out)
{
    help(out, "e2b_build_info", "gauge", "Version of the program, as a label.");
    buf_addf(out, "e2b_build_info{version=\"%s\"} 1\n", FIREBREAK_VERSION);
    sandboxes_write(m, now, out);
    memory_write(now, out);
    requests_write(m, out);
    histogram_write(out, "http_request_duration_seconds",
                    "Time from the first byte of a request to the end of its answer.",
                    &m->request_time);
    one(out, "e2b_auth_failures_total", "counter",
        "Requests with a missing or unknown API key.", atomic_load(&m->auth_failed));
    one(out, "e2b_auth_throttled_total", "counter", "Of these, those answered with 429.",
        atomic_load(&m->auth_throttled));
    one(out, "e2b_orphans_killed_total", "counter",
        "Sandboxes ended since no record of them was found.", atomic_load(&m->orphans_killed));
    one(out, "e2b_warden_connected", "gauge", "Is there a connection to the warden?",
        now->warden_connected);
    record_write(now, out);
    server_write(m, now, out);
    process_write(now, out);
}
