/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/describe.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "codec/json.h"
#include "e2b-sandbox/isolation.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/network.h"

static void text_field(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "\"%s\":", name);
    json_write_str(b, str_from(value));
    buf_add_char(b, ',');
}

static void time_field(struct buf *b, const char *name, uint64_t real_ns)
{
    char text[CLOCK_TEXT_MAX];

    clock_format_rfc3339(real_ns, 9, text);
    buf_addf(b, "\"%s\":\"%s\",", name, text);
}

static void token_field(struct sandbox *s, struct buf *out)
{
    char token[SANDBOX_TOKEN_MAX + 1];

    sandbox_token(s, token);
    if (token[0])
        text_field(out, "envdAccessToken", token);
    explicit_bzero(token, sizeof token);
}

void describe_sandbox(const struct app *a, struct sandbox *s, struct buf *out)
{
    buf_add_char(out, '{');
    text_field(out, "templateID", s->facts.template);
    text_field(out, "alias", s->facts.template);
    text_field(out, "sandboxID", s->facts.id.text);
    text_field(out, "clientID", APP_CLIENT_ID);
    text_field(out, "envdVersion", APP_ENVD_VERSION);
    token_field(s, out);
    if (a->config.domain)
        text_field(out, "domain", a->config.domain);
    else
        buf_add_cstr(out, "\"domain\":null,");
    network_describe_token(s, out);
    buf_add_char(out, '}');
}

/* All of a ListedSandbox but the closing brace. */
static void listed_fields(struct sandbox *s, struct buf *out)
{
    struct sandbox_now now = sandbox_look(s);

    buf_add_char(out, '{');
    text_field(out, "templateID", s->facts.template);
    text_field(out, "alias", s->facts.template);
    text_field(out, "sandboxID", s->facts.id.text);
    text_field(out, "clientID", APP_CLIENT_ID);
    time_field(out, "startedAt", now.started_ns);
    time_field(out, "endAt", now.end_ns);
    buf_addf(out, "\"cpuCount\":%u,\"memoryMB\":%u,\"diskSizeMB\":%u,\"state\":\"running\",",
             s->facts.cpu_count, s->facts.memory_mb, s->facts.disk_mb);
    text_field(out, "envdVersion", APP_ENVD_VERSION);
    text_field(out, "owner", s->facts.owner);
    buf_addf(out, "\"metadata\":%s,\"volumeMounts\":[]", s->metadata_text);
}

void describe_listed(struct sandbox *s, struct buf *out)
{
    listed_fields(s, out);
    buf_add_char(out, '}');
}

/* --- the isolation report --- */

static void report_kernel(const struct isolation *i, struct buf *out)
{
    buf_addf(out,
             "\"seccomp\":\"%s\",\"noNewPrivileges\":%s,\"hostUid\":%u,"
             "\"capabilitiesInOwnUserNamespace\":\"%016" PRIx64
             "\",\"capabilityBoundingSet\":\"%016" PRIx64 "\",\"ownPidNamespace\":%s,",
             i->seccomp == 2   ? "filter"
             : i->seccomp == 1 ? "strict"
                               : "off",
             i->no_new_privs ? "true" : "false", i->uid, i->cap_effective, i->cap_bounding,
             i->pid_namespaces > 0 ? "true" : "false");
}

static const char *profile_text(uint32_t profile)
{
    static const char *const text[PROFILE_MAX] = { "default", "strict", "debug" };
    return profile < PROFILE_MAX ? text[profile] : "unknown";
}

static void report_walls(const struct monitor_stats *s, struct buf *out)
{
    buf_addf(out,
             "\"seccompProfile\":\"%s\",\"landlockAbi\":%u,\"tripwires\":%" PRIu64
             ",\"tripwireAlarms\":%" PRIu64 ",",
             profile_text(s->profile), s->landlock_abi, s->tripwires, s->tripwire_alarms);
}

static void report_isolation(struct app *a, struct sandbox *s, struct buf *out)
{
    struct sandbox_now now = sandbox_look(s);
    struct monitor_stats stats;
    struct isolation facts;

    buf_add_cstr(out, "{\"kind\":\"jail\",\"reason\":\"microVMs are not part of this "
                      "version\",");
    if (now.host_uid > 0)
        buf_addf(out, "\"hostUidFirst\":%u,\"hostUidLast\":%u,", now.host_uid,
                 now.host_uid + 65535u);
    if (monitor_stats(s, a->warden, &stats) < 0) {
        buf_add_cstr(out, "\"evidence\":\"the monitor does not answer\"}");
        return;
    }
    bool is_read = isolation_read(stats.agent_pid, now.host_uid, &facts);
    if (is_read)
        report_kernel(&facts, out);
    report_walls(&stats, out);
    buf_addf(out,
             "\"network\":\"%s\",\"memoryLimitBytes\":%" PRIu64 ",\"memoryBytes\":%" PRIu64
             ",\"diskLimitBytes\":%" PRIu64 ",\"processesNow\":%" PRIu64
             ",\"processLimit\":%u,\"cpuLimitMillis\":%u,"
             "\"oomKills\":%" PRIu64 ",\"monitorPid\":%" PRIu64
             ",\"agentPid\":%u,\"frozen\":%s,\"evidence\":\"%s\"}",
             network_kind(a, s), stats.memory_limit_bytes, stats.memory_bytes,
             stats.disk_limit_bytes, stats.pids, now.limits.pids, now.limits.cpu_millis,
             stats.oom_kills, now.monitor_pid, stats.agent_pid, stats.frozen ? "true" : "false",
             is_read ? "read from /proc and cgroup files just now"
                     : "read from cgroup files just now; /proc of the agent cannot be read");
}

void describe_detail(struct app *a, struct sandbox *s, struct buf *out)
{
    listed_fields(s, out);
    buf_add_char(out, ',');
    token_field(s, out);
    if (a->config.domain)
        text_field(out, "domain", a->config.domain);
    else
        buf_add_cstr(out, "\"domain\":null,");
    network_describe(s, out);
    buf_add_cstr(out, "\"lifecycle\":{\"autoResume\":false,\"onTimeout\":\"kill\"},"
                      "\"isolation\":");
    report_isolation(a, s, out);
    buf_add_char(out, '}');
}

/* --- numbers --- */

/* Hundredths of a percent of all CPUs of the sandbox. The counters come from a monitor: nothing is assumed of them. */
static uint64_t cpu_used(const struct sandbox *s, const struct sample *before,
                         const struct sample *at)
{
    if (at->boot_ns <= before->boot_ns || at->cpu_usec <= before->cpu_usec)
        return 0;
    uint64_t window_usec = (at->boot_ns - before->boot_ns) / 1000 * s->facts.cpu_count;
    uint64_t used_usec = at->cpu_usec - before->cpu_usec;
    if (window_usec == 0 || used_usec > window_usec)
        return 10000;
    return used_usec * 10000 / window_usec; /* both are below 2^50: windows are seconds */
}

void describe_metric(const struct sandbox *s, const struct sample *before,
                     const struct sample *at, struct buf *out)
{
    uint64_t cpu = cpu_used(s, before, at);

    buf_add_char(out, '{');
    time_field(out, "timestamp", at->real_ns);
    buf_addf(out,
             "\"timestampUnix\":%" PRIu64 ",\"cpuCount\":%u,\"cpuUsedPct\":%" PRIu64
             ".%02" PRIu64 ",\"memUsed\":%" PRIu64 ",\"memTotal\":%" PRIu64
             ",\"memCache\":0,\"diskUsed\":%" PRIu64 ",\"diskTotal\":%" PRIu64 "}",
             at->real_ns / NS_PER_S, s->facts.cpu_count, cpu / 100, cpu % 100, at->memory_bytes,
             at->memory_limit_bytes, at->disk_bytes, at->disk_limit_bytes);
}

void describe_template(const struct template *t, const struct template_use *use,
                       struct buf *out)
{
    buf_add_char(out, '{');
    text_field(out, "templateID", t->name);
    text_field(out, "buildID", t->build_id);
    buf_addf(out, "\"cpuCount\":%u,\"memoryMB\":%u,\"diskSizeMB\":%u,\"public\":false,",
             t->cpu_count, t->memory_mb, t->disk_mb);
    time_field(out, "createdAt", t->created_ns);
    time_field(out, "updatedAt", t->created_ns);
    if (use->last_ns > 0)
        time_field(out, "lastSpawnedAt", use->last_ns);
    else
        buf_add_cstr(out, "\"lastSpawnedAt\":null,");
    text_field(out, "envdVersion", APP_ENVD_VERSION);
    buf_addf(out,
             "\"createdBy\":null,\"spawnCount\":%" PRIu64
             ",\"buildCount\":1,\"buildStatus\":\"ready\",\"aliases\":[",
             use->count);
    json_write_str(out, str_from(t->name));
    for (size_t i = 0; i < t->n_aliases; i++) {
        buf_add_char(out, ',');
        json_write_str(out, str_from(t->alias[i]));
    }
    buf_add_cstr(out, "],\"names\":[");
    json_write_str(out, str_from(t->name));
    buf_add_cstr(out, "]}");
}
