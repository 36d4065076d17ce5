/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "firebreak/cli.h"
#include "firebreak/invariants.h"
#include "http/client.h"

#define LIST_MAX    1000000u /* elements of one list: more is no instance */
#define STATUS_MAX  8192u
#define MOUNTS_MAX  (8u << 20)
#define RECORD_ID   8 /* offsets in a record: version, slot, id (warden(8)) */
#define RECORD_SLOT 4

void *sight_append(void *list, size_t size)
{
    SIGHT_LIST(sight_text) *l = list; /* all lists have this shape */

    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        void *at = cap > LIST_MAX ? NULL : realloc(l->at, cap * size);
        if (!at)
            return NULL;
        l->at = at;
        l->cap = cap;
    }
    char *one = (char *)l->at + size * l->n++;
    memset(one, 0, size);
    return one;
}

void sight_fini(struct sight *s)
{
    free(s->process.at);
    free(s->record.at);
    free(s->group.at);
    free(s->row.at);
    free(s->stray.at);
    free(s->mount.at);
    free(s->loop.at);
    free(s->interface.at);
    free(s->element.at);
    *s = (struct sight){ 0 };
}

static bool add_text(void *list, const char *text)
{
    struct sight_text *t = sight_append(list, sizeof *t);

    if (t)
        (void)snprintf(t->text, sizeof t->text, "%.*s", (int)sizeof t->text - 1, text);
    return t != NULL;
}

/* --- one process --- */

static long read_proc(pid_t pid, const char *file, char *buf, size_t max)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return cli_read_file(path, buf, max);
}

/* The value of a line "Key:\tvalue" of a status file, or "". */
static const char *field(const char *status, const char *key)
{
    const char *at = strstr(status, key);

    while (at && at != status && at[-1] != '\n')
        at = strstr(at + 1, key);
    if (!at)
        return "";
    at += strlen(key);
    return at + strspn(at, " \t");
}

static uint64_t hex(const char *text)
{
    return strtoull(text, NULL, 16); /* written by the kernel */
}

static void read_status(struct sight_process *p, const char *status)
{
    const char *uids = field(status, "Uid:");
    const char *levels = field(status, "NSpid:");
    char *end;

    (void)snprintf(p->name, sizeof p->name, "%.*s", (int)strcspn(field(status, "Name:"), "\n"),
                   field(status, "Name:"));
    p->state = field(status, "State:")[0];
    p->parent = (pid_t)strtol(field(status, "PPid:"), NULL, 10);
    for (size_t i = 0; i < ARRAY_LEN(p->uid); i++) {
        p->uid[i] = (uint32_t)strtoul(uids, &end, 10);
        uids = end;
    }
    for (; isdigit((unsigned char)*levels); levels = end + strspn(end, "\t ")) {
        (void)strtoul(levels, &end, 10);
        p->n_pid_namespaces++;
    }
    p->no_new_privs = field(status, "NoNewPrivs:")[0] == '1';
    p->filtered = field(status, "Seccomp:")[0] == '2';
    p->caps = hex(field(status, "CapPrm:")) | hex(field(status, "CapEff:"));
}

static bool in_ranges(const struct sight *s, const struct sight_process *p)
{
    uint64_t first = s->uid_base;
    uint64_t end = first + (uint64_t)s->max_sandboxes * UIDS_PER_SANDBOX;

    for (size_t i = 0; i < ARRAY_LEN(p->uid); i++)
        if (p->uid[i] >= first && p->uid[i] < end)
            return true;
    return false;
}

static uint64_t namespace_of(pid_t pid, const char *kind)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Is there an eth0 in the network namespace of that process? */
static bool has_network(pid_t pid)
{
    char text[4096];

    return read_proc(pid, "net/dev", text, sizeof text - 1) > 0 && strstr(text, " eth0:");
}

/* Counted up to what nobody has by right. */
static unsigned count_fds(pid_t pid)
{
    char path[64];
    unsigned n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    if (!d)
        return 0;
    for (const struct dirent *f = readdir(d); f && n < 100000; f = readdir(d))
        n += f->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

/* The clock tick at which it began: field 22 of stat, which begins after the name in brackets. */
static uint64_t start_time(pid_t pid)
{
    char text[1024];
    const char *at;

    if (read_proc(pid, "stat", text, sizeof text - 1) < 0 || !(at = strrchr(text, ')')))
        return 0;
    for (int i = 0; i < 20 && at; i++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static int hierarchy_of(const char *controllers, size_t n, bool out[HIERARCHY_N])
{
    int found = 0;

    out[HIERARCHY_V2] = n == 0;
    for (int h = HIERARCHY_MEMORY; h < HIERARCHY_N; h++) {
        size_t k = strlen(hierarchy_name[h]);
        for (const char *at = controllers; at < controllers + n; at += strcspn(at, ",:") + 1)
            if (strcspn(at, ",:") == k && strncmp(at, hierarchy_name[h], k) == 0)
                out[h] = true;
        found += out[h];
    }
    return found + out[HIERARCHY_V2];
}

/* Which sandbox's groups it is in: lines "7:cpu,cpuacct:/PARENT/ID/box". */
static void read_groups(struct sight_process *p, const char *parent, char *text)
{
    char mark[80], *save = NULL;

    (void)snprintf(mark, sizeof mark, "/%s/", parent);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        bool in[HIERARCHY_N] = { false };
        const char *controllers = strchr(line, ':');
        const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        const char *at = path ? strstr(path, mark) : NULL;
        if (!at || !hierarchy_of(controllers + 1, (size_t)(path - controllers - 1), in))
            continue;
        at += strlen(mark);
        for (int h = 0; h < HIERARCHY_N; h++)
            if (in[h])
                (void)snprintf(p->group[h], sizeof p->group[h], "%.*s", (int)strcspn(at, "/"),
                               at);
    }
}

/* The monitor's program belongs to host root, which no file of a sandbox does: its name can be copied, its owner cannot. */
static bool runs_program(pid_t pid, const char *name)
{
    char path[64], target[PATH_MAX];
    struct stat st;

    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0 || stat(path, &st) < 0)
        return false;
    target[n] = '\0';
    char *deleted = strstr(target, " (deleted)");
    if (deleted)
        *deleted = '\0';
    const char *base = strrchr(target, '/');
    return base && strcmp(base + 1, name) == 0 && st.st_uid == 0;
}

/* Has it "--run RUN" among its arguments? */
static bool has_run(char *args, long n, const char *run)
{
    bool found = false;

    for (char *a = args; a < args + n; a += strlen(a) + 1)
        if (strcmp(a, "--run") == 0 && a + 6 < args + n)
            found |= strcmp(a + 6, run) == 0;
    return found;
}

static void take_number(const char *args, long n, const char *option, uint32_t *out)
{
    uint64_t v;

    for (const char *a = args; a < args + n; a += strlen(a) + 1)
        if (strcmp(a, option) == 0 && a + strlen(a) + 1 < args + n &&
            num_parse_u64(str_from(a + strlen(a) + 1), 0, UINT32_MAX, &v) == 0)
            *out = (uint32_t)v;
}

/* --- all processes --- */

static enum sight_role daemon_role(struct sight *s, pid_t pid, const struct place *place)
{
    char args[8192];
    enum sight_role role = runs_program(pid, "warden")        ? ROLE_WARDEN
                           : runs_program(pid, "e2b-sandbox") ? ROLE_API
                                                              : ROLE_OTHER;

    if (role == ROLE_OTHER)
        return role;
    long n = read_proc(pid, "cmdline", args, sizeof args - 1);
    if (n <= 0 || !has_run(args, n, place->run))
        return ROLE_OTHER;
    for (const char *a = args; a < args + n; a += strlen(a) + 1)
        if (strcmp(a, "--stop-all") == 0)
            return ROLE_OTHER; /* it is on its way out */
    if (role == ROLE_WARDEN) {
        take_number(args, n, "--uid-base", &s->uid_base);
        take_number(args, n, "--max-sandboxes", &s->max_sandboxes);
    }
    return role;
}

static int add_process(struct sight *s, pid_t pid, enum sight_role role, const char *parent,
                       const char *status)
{
    char text[4096];
    struct sight_process seen = { .pid = pid, .role = role };

    read_status(&seen, status);
    if (role == ROLE_OTHER && !in_ranges(s, &seen))
        return 0;
    if (read_proc(pid, "cgroup", text, sizeof text - 1) > 0)
        read_groups(&seen, parent, text);
    seen.netns = namespace_of(pid, "net");
    seen.start_time = start_time(pid);
    if (role == ROLE_OTHER)
        seen.role = runs_program(pid, "jailmon") ? ROLE_MONITOR : ROLE_SANDBOX;
    if (seen.role != ROLE_SANDBOX)
        seen.n_fds = count_fds(pid);
    if (seen.role == ROLE_MONITOR)
        seen.has_network = has_network(pid);
    struct sight_process *p = SIGHT_ADD(s->process);
    if (!p)
        return -ENOMEM;
    *p = seen;
    return 0;
}

/* The pids of the moment, owned; their number, or -errno. */
static int all_pids(pid_t **out)
{
    DIR *d = opendir("/proc");
    int n = 0, cap = 0;
    AUTO_FREE pid_t *pids = NULL;

    if (!d)
        return -errno;
    for (const struct dirent *f = readdir(d); f; f = readdir(d)) {
        uint64_t pid;
        if (num_parse_u64(str_from(f->d_name), 1, INT32_MAX, &pid) < 0)
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 1024;
            pid_t *more = realloc(pids, (size_t)cap * sizeof *more);
            if (!more) {
                (void)closedir(d);
                return -ENOMEM;
            }
            pids = more;
        }
        pids[n++] = (pid_t)pid;
    }
    (void)closedir(d);
    *out = ptr_steal(&pids);
    return n;
}

static int look_processes(struct sight *s, const struct sight_options *o, const char *parent)
{
    AUTO_FREE pid_t *pids = NULL;
    char status[STATUS_MAX + 1];
    int n = all_pids(&pids), rc = 0;

    if (n <= 0 || !pids)
        return n;
    /* The daemons first: the warden's options say which uids are the sandboxes'. */
    for (int i = 0; i < n && rc == 0; i++) {
        enum sight_role role = daemon_role(s, pids[i], &o->place);
        if (role == ROLE_OTHER)
            continue;
        if (read_proc(pids[i], "status", status, STATUS_MAX) > 0)
            rc = add_process(s, pids[i], role, parent, status);
        pids[i] = 0;
    }
    for (int i = 0; i < n && rc == 0; i++)
        if (pids[i] && read_proc(pids[i], "status", status, STATUS_MAX) > 0)
            rc = add_process(s, pids[i], ROLE_OTHER, parent, status);
    return rc;
}

/* --- records, files --- */

static bool read_record(int dir, const char *name, struct sight_record *r)
{
    unsigned char bytes[RECORD_ID + SIGHT_ID_LEN];
    uint64_t slot;
    uint32_t inside;
    struct str stem = str_sub(str_from(name), 0, strlen(name) - 4);

    r->slot =
        num_parse_u64(stem, 0, SIGHT_SLOTS_MAX - 1, &slot) == 0 ? (uint32_t)slot : UINT32_MAX;
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false; /* it went */
    if (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && r->slot != UINT32_MAX) {
        memcpy(&inside, bytes + RECORD_SLOT, sizeof inside);
        memcpy(r->id, bytes + RECORD_ID, SIGHT_ID_LEN);
        r->readable = inside == r->slot && strlen(r->id) == SIGHT_ID_LEN;
    }
    return true;
}

static bool ends(const char *name, const char *end)
{
    return str_ends(str_from(name), str_from(end));
}

/* RUN/sb: records, sockets, the lock. Sockets are judged after all records are known. */
static int look_records(struct sight *s, int dir)
{
    DIR *d = fdopendir(dir);
    int rc = 0;

    if (!d)
        return -errno;
    for (const struct dirent *f = readdir(d); f && rc == 0; f = readdir(d)) {
        char path[NAME_MAX + 8];
        struct sight_record r = { 0 };
        if (ends(f->d_name, ".rec") && read_record(dir, f->d_name, &r)) {
            struct sight_record *to = SIGHT_ADD(s->record);
            rc = to ? 0 : -ENOMEM;
            if (to)
                *to = r;
        } else if (f->d_name[0] != '.' && strcmp(f->d_name, "warden.lock") != 0 &&
                   !ends(f->d_name, ".rec")) {
            (void)snprintf(path, sizeof path, "sb/%s", f->d_name);
            rc = add_text(&s->stray, path) ? 0 : -ENOMEM;
        }
    }
    (void)closedir(d);
    return rc;
}

static int by_slot(const void *a, const void *b)
{
    const struct sight_record *x = a, *y = b;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* Takes the sockets of records out of the strays. */
static void match_sockets(struct sight *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->stray.n; i++) {
        char name[64];
        bool known = false;
        for (size_t k = 0; k < s->record.n && !known; k++) {
            (void)snprintf(name, sizeof name, "sb/%u.sock", s->record.at[k].slot);
            known = strcmp(name, s->stray.at[i].text) == 0;
        }
        if (!known)
            s->stray.at[kept++] = s->stray.at[i];
    }
    s->stray.n = kept;
}

static int look_run(struct sight *s, const struct sight_options *o)
{
    /* Those after tlsd.seed belong to daemons that run. */
    static const char *const known[] = {
        "sb",        "mnt",           "up.pid",    "tlsd.seed", "warden.sock",
        "netd.sock", "recorder.sock", "tlsd.sock", "api.url"
    };
    size_t n_known = o->stopped ? 4 : ARRAY_LEN(known);
    DIR *d = opendir(o->place.run);
    int rc = 0;

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    int sb = openat(dirfd(d), "sb", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (const struct dirent *f = readdir(d); f && rc == 0; f = readdir(d)) {
        bool ok = f->d_name[0] == '.';
        for (size_t i = 0; i < n_known; i++)
            ok |= strcmp(f->d_name, known[i]) == 0;
        if (!ok)
            rc = add_text(&s->stray, f->d_name) ? 0 : -ENOMEM;
    }
    if (sb >= 0 && rc == 0)
        rc = look_records(s, sb);
    (void)closedir(d);
    if (s->record.n > 0)
        qsort(s->record.at, s->record.n, sizeof *s->record.at, by_slot);
    match_sockets(s);
    return rc;
}

/* --- cgroups --- */

static void hierarchy_path(enum sight_hierarchy h, char out[64])
{
    struct statfs fs;

    if (h != HIERARCHY_V2)
        (void)snprintf(out, 64, "/sys/fs/cgroup/%s", hierarchy_name[h]);
    else if (statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        (void)snprintf(out, 64, "/sys/fs/cgroup");
    else
        (void)snprintf(out, 64, "/sys/fs/cgroup/unified");
}

static int look_groups(struct sight *s, const char *parent)
{
    for (int h = 0; h < HIERARCHY_N; h++) {
        char at[64], path[160];
        struct statfs fs;
        hierarchy_path((enum sight_hierarchy)h, at);
        if (statfs(at, &fs) < 0 ||
            (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", at, parent);
        DIR *d = opendir(path);
        if (!d)
            continue;
        for (const struct dirent *f = readdir(d); f; f = readdir(d)) {
            if (f->d_type != DT_DIR || f->d_name[0] == '.')
                continue;
            struct sight_group *g = SIGHT_ADD(s->group);
            if (!g) {
                (void)closedir(d);
                return -ENOMEM;
            }
            g->hierarchy = (enum sight_hierarchy)h;
            (void)snprintf(g->id, sizeof g->id, "%.*s", (int)sizeof g->id - 1, f->d_name);
        }
        (void)closedir(d);
    }
    return 0;
}

/* --- mounts and loop devices of the host --- */

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Mounts whose place is in RUN. */
static int look_mount_table(struct sight *s, const char *table, const struct place *p)
{
    AUTO_FREE char *text = malloc(MOUNTS_MAX + 1);
    char *save = NULL;
    int rc = 0;

    if (!text)
        return -ENOMEM;
    if (cli_read_file(table, text, MOUNTS_MAX) < 0)
        return 0; /* a host that hides its first process: our own table is to be seen */
    for (char *line = strtok_r(text, "\n", &save); line && rc == 0;
         line = strtok_r(NULL, "\n", &save)) {
        char *at = line;
        for (int i = 0; i < 4 && at; i++)
            at = strchr(at + 1, ' ');
        if (!at)
            continue;
        at++;
        at[strcspn(at, " ")] = '\0';
        if (is_below(at, p->run))
            rc = add_text(&s->mount, at) ? 0 : -ENOMEM;
    }
    return rc;
}

static int look_mounts(struct sight *s, const struct place *p)
{
    int rc = look_mount_table(s, "/proc/self/mountinfo", p);
    return rc < 0 ? rc : look_mount_table(s, "/proc/1/mountinfo", p);
}

static int look_loops(struct sight *s, const struct place *p)
{
    DIR *d = opendir("/sys/block");
    int rc = 0;

    for (const struct dirent *f = d ? readdir(d) : NULL; f && rc == 0; f = readdir(d)) {
        char path[NAME_MAX + 64], backing[PATH_MAX + 1], text[200];
        (void)snprintf(path, sizeof path, "/sys/block/%s/loop/backing_file", f->d_name);
        if (strncmp(f->d_name, "loop", 4) != 0 || cli_read_file(path, backing, PATH_MAX) < 0 ||
            !is_below(backing, p->state))
            continue;
        backing[strcspn(backing, "\n")] = '\0';
        (void)snprintf(text, sizeof text, "%.16s of %.160s", f->d_name, backing);
        rc = add_text(&s->loop, text) ? 0 : -ENOMEM;
    }
    if (d)
        (void)closedir(d);
    return rc;
}

static unsigned count_images(const struct place *p)
{
    char path[PLACE_PATH_MAX + 32];
    unsigned n = 0;

    (void)snprintf(path, sizeof path, "%s/templates", p->state);
    DIR *d = opendir(path);
    for (const struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
        n += ends(f->d_name, ".erofs");
    if (d)
        (void)closedir(d);
    return n;
}

/* --- the API --- */

#define API_URL_MAX  512u
#define METRICS_MAX  (1u << 20)
#define API_LIMIT_NS (500 * NS_PER_MS)

static uint64_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t n = 0;

    if (!at)
        return 0;
    struct str rest = str_from(at + strlen(name));
    return num_parse_u64(str_sub(rest, 0, strcspn(rest.p, "\n")), 0, UINT32_MAX, &n) == 0 ? n
                                                                                          : 0;
}

/* How many sandboxes its pool has. An API that does not answer has none: whoever restarts it ends them. */
static uint64_t look_pool(const struct place *p)
{
    AUTO_BUF struct buf body = BUF_INIT(METRICS_MAX);
    char path[PLACE_PATH_MAX + 32], url[API_URL_MAX + 1], host[256], prefix[256];
    struct http_client c;
    struct err ignored;
    unsigned port;

    (void)snprintf(path, sizeof path, "%s/api.url", p->run);
    if (cli_read_file(path, url, API_URL_MAX) < 0)
        return 0;
    url[strcspn(url, "\n")] = '\0';
    if (http_client_parse_url(url, host, &port, prefix, &ignored) < 0)
        return 0;
    int fd = http_client_connect(host, port, API_LIMIT_NS, &ignored);
    if (fd < 0)
        return 0;
    http_client_init(&c, fd, API_LIMIT_NS);
    bool ok =
        http_client_send(&c, "GET", "/metrics", "localhost", "", STR(""), &ignored) == 0 &&
        http_client_head(&c, false, &ignored) == 0 && c.head.status == 200 &&
        http_client_body(&c, &body, &ignored) == 0;
    http_client_fini(&c);
    return !ok ? 0
               : number_after(buf_cstr(&body), "\ne2b_pool_ready ") +
                     number_after(buf_cstr(&body), "\ne2b_pool_starting ");
}

int sight_look(struct sight *s, const struct sight_options *o, struct err *e)
{
    char parent[64];
    struct err registry = { 0 };

    *s = (struct sight){ .uid_base = o->uid_base, .max_sandboxes = o->max_sandboxes };
    (void)snprintf(parent, sizeof parent, "e2b-sandbox%s%s",
                   strcmp(o->place.instance, "default") == 0 ? "" : "-",
                   strcmp(o->place.instance, "default") == 0 ? "" : o->place.instance);
    s->host_netns = namespace_of(getpid(), "net");
    s->n_images = count_images(&o->place);
    int rc = look_processes(s, o, parent);
    if (rc == 0)
        rc = look_run(s, o);
    if (rc == 0)
        rc = look_groups(s, parent);
    if (rc == 0)
        rc = look_mounts(s, &o->place);
    if (rc == 0)
        rc = look_loops(s, &o->place);
    if (rc < 0)
        return err_set(e, -rc, "look at the instance");
    if ((rc = sight_network(s, &o->place, e)) < 0)
        return rc;
    s->pooled = look_pool(&o->place);
    rc = sight_registry(s, &o->place, &registry);
    if (rc < 0 && rc != -ENOENT) {
        *e = registry;
        return rc;
    }
    return 0;
}
