/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "ipc/warden_proto.h"

const char config_usage[] =
    "usage: e2b-sandbox --state DIR --run DIR [OPTIONS]\n"
    "\n"
    "Serves the E2B API: control plane and the way into sandboxes. 'firebreak up' starts it; "
    "see e2b-sandbox(8).\n"
    "  --state DIR            DIR/templates is read, DIR/db/firebreak.db is kept\n"
    "  --run DIR              DIR/warden.sock is connected to\n"
    "  --listen ADDRESS:PORT  where clients connect (default 127.0.0.1:7070; port 0: any free "
    "one, see the log)\n"
    "  --listen-fd FD         serve on this listening socket instead of opening one "
    "('firebreak "
    "up' keeps it across restarts)\n"
    "  --uid UID              user to become when started as root (default 65532)\n"
    "  --bootstrap-key-fd FD  a line with the API key to accept; only its SHA-256 is stored\n"
    "  --host NAME            a name under which clients reach this server, for routing by "
    "header (up to 4 times)\n"
    "  --domain DOMAIN        told to clients, who then use {port}-{id}.DOMAIN; needs wildcard "
    "DNS and a TLS proxy\n"
    "  --max-sandboxes N      refuse more with 429 (default: what the warden allows)\n"
    "  --max-timeout SECONDS  longest life of a sandbox (default 86400)\n"
    "  --pids N               processes and threads in one sandbox (default 1024)\n"
    "  --internet allow|deny  may sandboxes have a network? (default deny; allow needs netd at "
    "DIR/netd.sock)\n"
    "  --record on|off        refuse what cannot be recorded by the recorder at "
    "DIR/recorder.sock "
    "(default on)\n"
    "  --conns-per-sandbox N  exchanges with one sandbox at once (default 1024)\n"
    "  --pool-max N           sandboxes held ready ahead of demand (default 16; 0: none)\n"
    "  --pool-memory MIB      memory that those may take together (default 64)\n"
    "  --warm WHAT            what waits in those for the first program: python3 (default) or "
    "none\n"
    "  --log-level LEVEL      error, warn, info or debug (default info)\n"
    "  --version, --help\n";

struct flag {
    const char *name, *want;
    int (*take)(struct config *c, const char *value);
};

static int take_u32(const char *value, uint64_t min, uint64_t max, uint32_t *out)
{
    uint64_t v;
    int rc = num_parse_u64(str_from(value), min, max, &v);

    if (rc == 0)
        *out = (uint32_t)v;
    return rc;
}

static int take_dir(const char *value, const char **out)
{
    *out = value;
    return value[0] == '/'
               ? 0
               : -EINVAL; /* a relative one would change with the working directory */
}

static int take_state(struct config *c, const char *value)
{
    return take_dir(value, &c->state_dir);
}

static int take_run(struct config *c, const char *value)
{
    return take_dir(value, &c->run_dir);
}

static bool is_address(const char *s)
{
    struct in6_addr any;
    return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

static int take_listen(struct config *c, const char *value)
{
    struct str s = str_from(value), host = s;
    uint64_t port;

    while (host.n > 0 && host.p[host.n - 1] != ':')
        host.n--;
    if (host.n < 2 || num_parse_u64(str_sub(s, host.n, s.n), 0, 65535, &port) < 0)
        return -EINVAL;
    host.n--;
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        host = str_sub(host, 1, host.n - 2);
    if (str_copy(host, c->address, sizeof c->address) < 0 || !is_address(c->address))
        return -EINVAL;
    c->port = (uint16_t)port;
    return 0;
}

static int take_uid(struct config *c, const char *value)
{
    uint64_t v;
    int rc = num_parse_u64(str_from(value), 1, UINT32_MAX - 1, &v);

    if (rc == 0)
        c->uid = (uid_t)v;
    return rc;
}

static int take_key_fd(struct config *c, const char *value)
{
    uint64_t v;
    int rc = num_parse_u64(str_from(value), 0, 1023, &v);

    if (rc == 0)
        c->key_fd = (int)v;
    return rc;
}

/* A DNS name in lower case, as Host is compared. */
static int take_name(const char *value, const char **out)
{
    size_t n = strlen(value);

    *out = value;
    return n > 0 && n <= 253 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-.:") == n
               ? 0
               : -EINVAL;
}

static int take_host(struct config *c, const char *value)
{
    if (c->hosts.n == ROUTING_HOSTS_MAX || strchr(value, ':'))
        return -EINVAL;
    return take_name(value, &c->hosts.name[c->hosts.n++]);
}

static int take_domain(struct config *c, const char *value)
{
    return take_name(value, &c->domain);
}

static int take_max_sandboxes(struct config *c, const char *value)
{
    return take_u32(value, 1, WARDEN_MAX_SANDBOXES, &c->max_sandboxes);
}

static int take_max_timeout(struct config *c, const char *value)
{
    return take_u32(value, 1, UINT64_C(365) * 86400, &c->max_timeout_s);
}

static int take_pids(struct config *c, const char *value)
{
    return take_u32(value, 16, 32768, &c->pids);
}

static int take_conns(struct config *c, const char *value)
{
    return take_u32(value, 1, 65536, &c->conns_per_sandbox);
}

static int take_listen_fd(struct config *c, const char *value)
{
    uint32_t fd;
    int rc = take_u32(value, 3, 1023, &fd);

    if (rc == 0)
        c->listen_fd = (int)fd;
    return rc;
}

static int take_pool_max(struct config *c, const char *value)
{
    return take_u32(value, 0, POOL_ENTRIES_MAX, &c->pool_max);
}

static int take_pool_memory(struct config *c, const char *value)
{
    return take_u32(value, 0, 1u << 20, &c->pool_memory_mb);
}

static int take_warm(struct config *c, const char *value)
{
    c->warm_python = strcmp(value, "python3") == 0;
    return c->warm_python || strcmp(value, "none") == 0 ? 0 : -EINVAL;
}

static int take_internet(struct config *c, const char *value)
{
    c->internet = strcmp(value, "allow") == 0;
    return c->internet || strcmp(value, "deny") == 0 ? 0 : -EINVAL;
}

static int take_record(struct config *c, const char *value)
{
    c->record = strcmp(value, "on") == 0;
    return c->record || strcmp(value, "off") == 0 ? 0 : -EINVAL;
}

static int take_log_level(struct config *c, const char *value)
{
    static const char *const name[] = { "error", "warn", "info", "debug" };

    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        if (strcmp(value, name[i]) == 0) {
            c->log_level = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

static const struct flag flags[] = {
    { "--state", "an absolute path", take_state },
    { "--run", "an absolute path", take_run },
    { "--listen", "ADDRESS:PORT, such as 127.0.0.1:7070 or [::1]:7070", take_listen },
    { "--listen-fd", "the number of a listening socket, from 3 on", take_listen_fd },
    { "--uid", "a uid from 1 on", take_uid },
    { "--bootstrap-key-fd", "the number of an open descriptor", take_key_fd },
    { "--host", "a name in lower case, at most 4 times", take_host },
    { "--domain", "a domain in lower case, with or without :PORT", take_domain },
    { "--max-sandboxes", "a number from 1 to 4096", take_max_sandboxes },
    { "--max-timeout", "a number of seconds, up to a year", take_max_timeout },
    { "--pids", "a number from 16 to 32768", take_pids },
    { "--conns-per-sandbox", "a number from 1 to 65536", take_conns },
    { "--pool-max", "a number from 0 to 256", take_pool_max },
    { "--pool-memory", "a number of MiB, up to 1048576", take_pool_memory },
    { "--warm", "python3 or none", take_warm },
    { "--internet", "allow or deny", take_internet },
    { "--record", "on or off", take_record },
    { "--log-level", "error, warn, info or debug", take_log_level },
};

static int take_flag(struct config *c, const char *name, const char *value, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(flags[i].name, name) != 0)
            continue;
        if (!value)
            return err_say(e, EINVAL, "%s needs a value: %s", name, flags[i].want);
        return flags[i].take(c, value) < 0 ? err_say(e, EINVAL, "%s must be %s, not '%.64s'",
                                                     name, flags[i].want, value)
                                           : 0;
    }
    return err_say(e, EINVAL, "unknown option '%.64s'; --help lists them", name);
}

enum config_result config_parse(struct config *c, int argc, char **argv, struct err *e)
{
    *c = (struct config){ .address = "127.0.0.1",
                          .port = 7070,
                          .uid = 65532,
                          .key_fd = -1,
                          .listen_fd = -1,
                          .max_sandboxes = WARDEN_MAX_SANDBOXES,
                          .max_timeout_s = 86400,
                          .pids = 1024,
                          .conns_per_sandbox = 1024,
                          .pool_max = 16,
                          .pool_memory_mb = 64,
                          .warm_python = true,
                          .record = true,
                          .log_level = LOG_LEVEL_INFO };
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0)
            return CONFIG_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return CONFIG_VERSION;
        if (take_flag(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL, e) < 0)
            return CONFIG_BAD;
    }
    if (!c->state_dir || !c->run_dir) {
        (void)err_say(e, EINVAL, "%s is missing", c->state_dir ? "--run" : "--state");
        return CONFIG_BAD;
    }
    return CONFIG_RUN;
}
