/* SPDX-License-Identifier: Apache-2.0 */
/* warden: the one privileged process. Allocates uid ranges and cgroups, mounts template images,
 * clones monitors, kills. Parses no text but its own command line, uses no network, resolves no
 * path of a peer. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/num.h"
#include "sys/filter.h"
#include "sys/task.h"
#include "warden/warden.h"

/* Why each:
 * SYS_ADMIN      mount images, id-mapped clones, namespaces
 * SYS_CHROOT     enter the stage's mount namespace to clone a monitor (setns(2))
 * SETUID, SETGID write the id maps of ranges (user_namespaces(7))
 * SYS_PTRACE     open /proc/PID/ns/user of a child that has not executed yet
 * KILL           end monitors, which have their own uids
 * CHOWN          give the listening socket to the API's uid
 * DAC_OVERRIDE   state directories that an operator made with other modes, cgroup files */
#define CAPS                                                                                   \
    ((1ULL << CAP_SYS_ADMIN) | (1ULL << CAP_SYS_CHROOT) | (1ULL << CAP_SETUID) |               \
     (1ULL << CAP_SETGID) | (1ULL << CAP_SYS_PTRACE) | (1ULL << CAP_KILL) |                    \
     (1ULL << CAP_CHOWN) | (1ULL << CAP_DAC_OVERRIDE))

/* Sets the floor below which a sandbox cannot lower its oom_score_adj (ADR 0046). A root without it has sandboxes without that. */
#define FLOOR_CAP CAP_SYS_RESOURCE

/* An overlay acts on its upper layer with the rights of whoever mounted it: where that is us
 * (layer.c), as the owner of any file there. */
#define LAYER_CAPS ((1ULL << CAP_FOWNER) | (1ULL << CAP_FSETID))

#define LOCK_TRIES 100 /* of 20 ms */

static const char usage[] =
    "usage: warden --instance NAME --state DIR --run DIR --api-uid UID --uid-base N\n"
    "              --max-sandboxes N --jailmon PATH --envd PATH [--stop-all]\n"
    "\n"
    "The privileged process of Firebreak. 'firebreak up' starts it; see warden(8).\n"
    "  --instance NAME     names the cgroup: e2b-sandbox for 'default', else e2b-sandbox-NAME\n"
    "  --state DIR         DIR/templates holds the images\n"
    "  --run DIR           warden.sock and the sandboxes' records\n"
    "  --api-uid UID       who may connect\n"
    "  --uid-base N        first host uid of the sandboxes; 65536 follow for each\n"
    "  --max-sandboxes N   1 to 4096\n"
    "  --total-memory MIB  what all sandboxes together may use (default 0: no cap)\n"
    "  --total-pids N      processes of all sandboxes together (default 0: no cap)\n"
    "  --reserve-memory MIB  start none that would leave the host less (default 256)\n"
    "  --stop-all          end every sandbox of the instance, remove what is left, exit\n"
    "  --version, --help\n";

struct flag {
    const char *name;
    const char **text;
    uint32_t *number;
    uint64_t min, max;
};

static int take_flag(const struct flag *f, size_t n, const char *name, const char *value,
                     struct err *e)
{
    uint64_t v;

    for (size_t i = 0; i < n; i++) {
        if (strcmp(f[i].name, name) != 0)
            continue;
        if (!value)
            return err_say(e, EINVAL, "%s needs a value", name);
        if (f[i].text) {
            *f[i].text = value;
            return 0;
        }
        if (num_parse_u64(str_from(value), f[i].min, f[i].max, &v) < 0)
            return err_say(e, EINVAL, "%s must be a number from %llu to %llu", name,
                           (unsigned long long)f[i].min, (unsigned long long)f[i].max);
        *f[i].number = (uint32_t)v;
        return 0;
    }
    return err_say(e, EINVAL, "unknown option '%s'", name);
}

static int parse_options(struct options *o, int argc, char **argv, struct err *e)
{
    const struct flag flags[] = {
        { "--instance", &o->instance, NULL, 0, 0 },
        { "--state", &o->state_dir, NULL, 0, 0 },
        { "--run", &o->run_dir, NULL, 0, 0 },
        { "--jailmon", &o->jailmon_path, NULL, 0, 0 },
        { "--envd", &o->envd_path, NULL, 0, 0 },
        { "--api-uid", NULL, &o->api_uid, 0, UINT32_MAX - 1 },
        { "--uid-base", NULL, &o->uid_base, UIDS_PER_SANDBOX, UINT32_MAX - UIDS_PER_SANDBOX },
        { "--max-sandboxes", NULL, &o->max_sandboxes, 1, WARDEN_MAX_SANDBOXES },
        { "--total-memory", NULL, &o->total_memory_mib, 0, UINT32_MAX },
        { "--total-pids", NULL, &o->total_pids, 0, 4194304 },
        { "--reserve-memory", NULL, &o->reserve_memory_mib, 0, UINT32_MAX },
    };

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--stop-all") == 0) {
            o->stop_all = true;
            continue;
        }
        if (take_flag(flags, ARRAY_LEN(flags), argv[i], i + 1 < argc ? argv[i + 1] : NULL, e) <
            0)
            return -e->code;
        i++;
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (flags[i].text && !*flags[i].text)
            return err_say(e, EINVAL, "%s is missing", flags[i].name);
    if (o->uid_base + (uint64_t)o->max_sandboxes * UIDS_PER_SANDBOX > UINT32_MAX)
        return err_say(e, EINVAL, "%u sandboxes do not fit above --uid-base %u",
                       o->max_sandboxes, o->uid_base);
    for (const char *p = o->instance; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
              (*p == '-' && p > o->instance)) ||
            p - o->instance >= (int)INSTANCE_NAME_MAX)
            return err_say(e, EINVAL, "--instance must be 1 to %u characters of a-z, 0-9 and -",
                           INSTANCE_NAME_MAX);
    return *o->instance ? 0 : err_say(e, EINVAL, "--instance must not be empty");
}

/* An id range that somebody on this host owns would give a sandbox's root that somebody's
 * files. */
static int check_uids(const struct options *o, struct err *e)
{
    uint64_t first = o->uid_base;
    uint64_t last = first + (uint64_t)o->max_sandboxes * UIDS_PER_SANDBOX - 1;
    FILE *f = fopen("/etc/passwd", "re");

    if (!f)
        return 0; /* a host without users */
    for (struct passwd *p = fgetpwent(f); p && e->code == 0; p = fgetpwent(f))
        if (p->pw_uid >= first && p->pw_uid <= last)
            (void)err_say(e, EINVAL,
                          "host user '%s' has uid %u, inside the sandboxes' range %llu..%llu: "
                          "give another --uid-base",
                          p->pw_name, p->pw_uid, (unsigned long long)first,
                          (unsigned long long)last);
    (void)fclose(f);
    return -e->code;
}

static int open_dir(const char *base, const char *name, mode_t mode, int *out, struct err *e)
{
    char path[512];
    struct stat st;

    if (snprintf(path, sizeof path, "%s/%s", base, name) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "'%s' is too long", base);
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return err_set(e, errno, "make '%s'", path);
    *out = open(path, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (*out < 0 || fstat(*out, &st) < 0)
        return err_set(e, errno, "open '%s'", path);
    if (st.st_uid != 0 || (st.st_mode & 022))
        return err_say(e, EPERM, "'%s' must belong to root and be writable by root only", path);
    return 0;
}

static int open_program(const char *path, int *out, struct err *e)
{
    struct stat st;

    *out = open(path, O_PATH | O_CLOEXEC);
    if (*out < 0 || fstat(*out, &st) < 0)
        return err_set(e, errno, "open '%s'", path);
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
        return err_say(e, EACCES, "'%s' is not a program", path);
    return 0;
}

/* One warden an instance. The lock goes with the process, however it ends. */
static int take_lock(struct app *a, struct err *e)
{
    int fd = openat(a->sb_fd, "warden.lock", O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "open the lock");
    /* fd stays open for the life of the process. The warden before us may be on its way out:
     * its parent was killed a moment ago, and the next one starts us. */
    int rc = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; i < LOCK_TRIES && rc < 0 && errno == EWOULDBLOCK; i++) {
        (void)usleep(20000);
        rc = flock(fd, LOCK_EX | LOCK_NB);
    }
    if (rc < 0)
        return err_say(e, EBUSY, "another warden runs this instance ('%s')", a->opt.run_dir);
    return 0;
}

static void cgroup_parent(const struct options *o, char out[64])
{
    bool is_default = strcmp(o->instance, "default") == 0;
    (void)snprintf(out, 64, is_default ? "e2b-sandbox" : "e2b-sandbox-%.32s", o->instance);
}

static int read_oom_score(struct app *a, struct err *e)
{
    AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

    return fd < 0 || read(fd, a->oom_score, sizeof a->oom_score - 1) <= 0
               ? err_set(e, errno, "read /proc/self/oom_score_adj")
               : 0;
}

static int open_everything(struct app *a, struct err *e)
{
    char parent[64];

    a->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (a->null_fd < 0)
        return err_set(e, errno, "open /dev/null");
    if (open_dir(a->opt.run_dir, "sb", 0700, &a->sb_fd, e) < 0 || take_lock(a, e) < 0 ||
        open_dir(a->opt.state_dir, "templates", 0755, &a->templates_fd, e) < 0 ||
        open_dir(a->opt.state_dir, "layers", 0755, &a->layers_fd, e) < 0 ||
        images_prepare(a, e) < 0 || stage_make(a, e) < 0)
        return -e->code;
    a->makes_layers = layer_needed();
    if (read_oom_score(a, e) < 0)
        return -e->code;
    if (open_program(a->opt.jailmon_path, &a->jailmon_fd, e) < 0 || agent_load(a, e) < 0)
        return -e->code;
    cgroup_parent(&a->opt, parent);
    if (cgroup_host_open(&a->cgroup, parent, e) < 0)
        return -e->code;
    /* Said in warden_ready: where the store is on no disk of its own, there is nothing to
     * throttle. */
    (void)cgroup_host_set_disk(&a->cgroup, a->templates_fd);
    return a->opt.stop_all
               ? 0
               : cgroup_host_limit(&a->cgroup, (uint64_t)a->opt.total_memory_mib << 20,
                                   a->opt.total_pids, e);
}

/* Bounded capabilities, no core with anybody's memory, nothing gained by exec, a filter for us
 * and all below. */
static int harden(const struct app *a, struct err *e)
{
    struct filter filter;
    uint64_t caps = CAPS | (a->makes_layers ? LAYER_CAPS : 0);

    if (prctl(PR_CAPBSET_READ, FLOOR_CAP, 0, 0, 0) == 1)
        caps |= 1ULL << FLOOR_CAP;
    if (task_limit_bounding(caps, e) < 0 || task_set_caps(caps, e) < 0 ||
        task_limit(RLIMIT_CORE, TASK_NO_CORE, e) < 0)
        return -e->code;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "set process attributes");
    if (task_no_new_privs(e) < 0)
        return -e->code;
    filter_build(&filter, FILTER_WARDEN);
    return filter_load(&filter, e);
}

/* Two descriptors for each sandbox: the usual soft limit of 1024 is too low. */
static void raise_fd_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE,
                        &l); /* what there is then bounds the number of sandboxes */
    }
}

static int start(struct app *a, struct err *e)
{
    raise_fd_limit();
    if (geteuid() != 0)
        return err_say(e, EPERM, "the warden must be started as root");
    if (check_uids(&a->opt, e) < 0 || open_everything(a, e) < 0 || claim_uids(a, e) < 0 ||
        harden(a, e) < 0 || serve_prepare(a, e) < 0)
        return -e->code;
    return 0;
}

static int run(struct app *a)
{
    struct err e = { 0 };
    char parent[64];

    table_adopt(a);
    if (!a->opt.stop_all && claim_check_processes(a, &e) < 0) {
        (void)fprintf(stderr, "warden: %s\n", e.text);
        claim_drop(a);
        return 1;
    }
    if (a->opt.stop_all)
        for (uint32_t i = 0; i < a->n_slots; i++)
            if (a->slot[i].state == SLOT_RUNNING)
                slot_kill(a, &a->slot[i], CAUSE_KILLED);
    log_info("warden_ready", "cgroup=%s overlay_by=%s io_limits=%s sandboxes=%u max=%u",
             cgroup_host_kind(&a->cgroup), a->makes_layers ? "warden" : "sandbox",
             a->cgroup.disk[0] ? a->cgroup.disk : "none", table_count(a), a->opt.max_sandboxes);
    serve_run(a);
    log_info("warden_stopped", "sandboxes=%u", table_count(a));
    if (a->opt.stop_all) {
        cgroup_parent(&a->opt, parent);
        cgroup_host_remove(&a->cgroup, parent);
    }
    claim_drop(a);
    return 0;
}

int main(int argc, char **argv)
{
    static struct app
        app; /* more than a megabyte: not for the stack; passed down, never global */
    struct err e = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("warden " FIREBREAK_VERSION) < 0;
    (void)umask(022); /* modes of what sandboxes see are as they are written here */
    log_init("warden", LOG_LEVEL_INFO);
    app.opt.api_uid = 65532;
    app.opt.uid_base = 268435456;
    app.opt.max_sandboxes = 64;
    app.opt.reserve_memory_mib = 256;
    if (parse_options(&app.opt, argc, argv, &e) < 0) {
        (void)fprintf(stderr, "warden: %s\n\n%s", e.text, usage);
        return 2;
    }
    if (start(&app, &e) < 0) {
        (void)fprintf(stderr, "warden: %s\n", e.text);
        return 1;
    }
    return run(&app);
}
