/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/process_rpc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "envd/app.h"
#include "envd/paths.h"

#define ARGS_BYTES_MAX (1u << 20)
#define ARGS_MAX       65536u
#define BATCH_MAX      524288u /* envelopes sent with one write */
#define BATCH_BYTES    98304u  /* output in them, before base64 */
#define BATCH_CHUNKS   2048u   /* envelopes in them */
#define SCRATCH_MAX    65536u  /* of one: PROC_PIPE_CHUNK in base64 and a frame around it */
#define STDIN_MAX      (RPC_BODY_MAX) /* decoded bytes of one SendInput */

/* --- texts --- */

/* The names that Go's syscall package gives to signals on Linux. */
static const char *const SIGNAL_TEXT[] = {
    [SIGHUP] = "hangup",
    [SIGINT] = "interrupt",
    [SIGQUIT] = "quit",
    [SIGILL] = "illegal instruction",
    [SIGTRAP] = "trace/breakpoint trap",
    [SIGABRT] = "aborted",
    [SIGBUS] = "bus error",
    [SIGFPE] = "floating point exception",
    [SIGKILL] = "killed",
    [SIGUSR1] = "user defined signal 1",
    [SIGSEGV] = "segmentation fault",
    [SIGUSR2] = "user defined signal 2",
    [SIGPIPE] = "broken pipe",
    [SIGALRM] = "alarm clock",
    [SIGTERM] = "terminated",
};

void process_status_text(int wait_status, char out[PROCESS_STATUS_MAX])
{
    if (WIFEXITED(wait_status)) {
        (void)snprintf(out, PROCESS_STATUS_MAX, "exit status %d", WEXITSTATUS(wait_status));
        return;
    }
    unsigned sig = (unsigned)WTERMSIG(wait_status);
    const char *core = WCOREDUMP(wait_status) ? " (core dumped)" : "";
    if (sig < ARRAY_LEN(SIGNAL_TEXT) && SIGNAL_TEXT[sig])
        (void)snprintf(out, PROCESS_STATUS_MAX, "signal: %s%s", SIGNAL_TEXT[sig], core);
    else
        (void)snprintf(out, PROCESS_STATUS_MAX, "signal: signal %u%s", sig, core);
}

void process_end_event(int wait_status, struct buf *out)
{
    char status[PROCESS_STATUS_MAX];
    bool exited = WIFEXITED(wait_status);
    int code = exited ? WEXITSTATUS(wait_status) : -1;

    process_status_text(wait_status, status);
    buf_add_cstr(out, "{\"event\":{\"end\":{");
    if (code != 0)
        buf_addf(out, "\"exitCode\":%d,", code);
    buf_addf(out, "\"exited\":%s,\"status\":\"%s\"", exited ? "true" : "false", status);
    if (code != 0)
        buf_addf(out, ",\"error\":\"%s\"", status);
    buf_add_cstr(out, "}}}");
}

/* --- environment and arguments --- */

json_t *process_environment(struct app *a, const struct user *who, json_t *call)
{
    AUTO_JSON json_t *sandbox = settings_env(&a->settings);
    json_t *env = json_pack("{s:s,s:s,s:s,s:s}", "PATH", a->path_env, "HOME", who->home, "USER",
                            who->name, "LOGNAME", who->name);

    if (!env || !sandbox || json_object_update(env, sandbox) < 0 ||
        (call && json_object_update(env, call) < 0)) {
        json_decref(env);
        return NULL;
    }
    return env;
}

void process_free_strings(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

static void auto_strings(char ***list)
{
    process_free_strings(*list);
}
#define AUTO_STRINGS __attribute__((cleanup(auto_strings)))

char **process_env_strings(json_t *env)
{
    char **list = calloc(json_object_size(env) + 1, sizeof *list);
    size_t n = 0;
    const char *name;
    json_t *value;

    if (!list)
        return NULL;
    json_object_foreach(env, name, value)
    {
        if (asprintf(&list[n], "%s=%s", name, json_string_value(value)) < 0) {
            list[n] = NULL; /* left undefined by asprintf */
            process_free_strings(list);
            return NULL;
        }
        n++;
    }
    return list;
}

/* Checks args and makes argv. NULL after the call has been failed. */
static char **read_args(struct rpc *r, const char *cmd, json_t *args)
{
    size_t n = json_array_size(args), bytes = strlen(cmd), i;
    const json_t *arg;

    json_array_foreach(args, i, arg)
    {
        if (!json_is_string(arg)) {
            (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "field 'args' must hold strings only");
            return NULL;
        }
        bytes += json_string_length(arg) + 1;
    }
    if (n > ARGS_MAX || bytes > ARGS_BYTES_MAX) {
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the arguments are longer than %u bytes",
                       ARGS_BYTES_MAX);
        return NULL;
    }
    char **argv = calloc(n + 2, sizeof *argv);
    if (argv && (argv[0] = strdup(cmd)))
        for (i = 0; i < n; i++)
            if (!(argv[i + 1] = strdup(json_string_value(json_array_get(args, i)))))
                break;
    if (!argv || !argv[0] || (n > 0 && !argv[n])) {
        process_free_strings(argv);
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    return argv;
}

/* --- streams of events --- */

static void add_event(struct buf *out, struct buf *scratch, const char *key, const void *p,
                      size_t n)
{
    buf_clear(scratch);
    buf_addf(scratch, "{\"event\":{\"data\":{\"%s\":\"", key);
    base64_encode(p, n, scratch);
    buf_add_cstr(scratch, "\"}}}");
    if (!buf_ok(scratch))
        out->failed = ENOMEM;
    rpc_envelope(out, buf_str(scratch));
}

static const char *stream_key(enum proc_stream s)
{
    return s == PROC_STDOUT ? "stdout" : s == PROC_STDERR ? "stderr" : "pty";
}

/* Sends queued output in one write. Returns the chunks sent, or -1 if the client is gone. */
static long send_output(struct rpc *r, const struct proc_news *news, struct buf *out,
                        struct buf *scratch)
{
    const struct proc_chunk *c = news->first;
    size_t n = 0, bytes = 0;

    buf_clear(out);
    while (n < news->n_chunks && n < BATCH_CHUNKS && bytes < BATCH_BYTES) {
        add_event(out, scratch, stream_key(c->stream), c->bytes, c->n);
        bytes += c->n;
        if (++n < news->n_chunks)
            c = c->next;
    }
    return rpc_send(r, out) < 0 ? -1 : (long)n;
}

static int send_text(struct rpc *r, struct str json)
{
    AUTO_BUF struct buf out = BUF_INIT(1024);
    rpc_envelope(&out, json);
    return rpc_send(r, &out);
}

static int send_start(struct rpc *r, const struct proc_sub *sub)
{
    AUTO_BUF struct buf json = BUF_INIT(128);
    buf_addf(&json, "{\"event\":{\"start\":{\"pid\":%d}}}", (int)proc_sub_pid(sub));
    return send_text(r, buf_str(&json));
}

static void send_end(struct rpc *r, int wait_status)
{
    AUTO_BUF struct buf json = BUF_INIT(512);
    process_end_event(wait_status, &json);
    rpc_end(r, buf_str(&json));
}

/* Carries events to the client until the process ends, the stream's deadline passes, or the client goes. `owns`: the stream of
 * Start, for which the deadline is the process's own. */
static void follow(struct rpc *r, struct proc_sub *sub, bool owns)
{
    AUTO_BUF struct buf out = BUF_INIT(BATCH_MAX);
    AUTO_BUF struct buf scratch = BUF_INIT(SCRATCH_MAX);
    struct proc_news news;

    if (send_start(r, sub) < 0)
        return;
    uint64_t keepalive_at = clock_mono_ns() + r->keepalive_ns;
    while (!r->done) {
        proc_sub_look(sub, &news);
        if (news.n_chunks > 0) {
            long sent = send_output(r, &news, &out, &scratch);
            if (sent < 0)
                return;
            proc_sub_took(sub, (size_t)sent);
            keepalive_at = clock_mono_ns() + r->keepalive_ns;
            continue;
        }
        uint64_t now = clock_mono_ns();
        if ((owns && news.timed_out) || rpc_deadline_passed(r, now)) {
            (void)rpc_fail(r, CONNECT_DEADLINE_EXCEEDED, "context deadline exceeded");
            return;
        }
        if (news.ended) {
            send_end(r, news.wait_status);
            return;
        }
        if (now >= keepalive_at) {
            if (send_text(r, STR("{\"event\":{\"keepalive\":{}}}")) < 0)
                return;
            keepalive_at = now + r->keepalive_ns;
        }
        buf_fini(&out); /* hundreds of quiet streams should cost little */
        buf_fini(&scratch);
        (void)rpc_wait(r, proc_sub_fd(sub), keepalive_at);
    }
}

/* --- Start --- */

struct start_request {
    const char *cmd, *cwd, *tag;
    json_t *process, *args, *envs, *pty;
    bool stdin_given, has_stdin;
    uint16_t cols, rows;
};

static int read_size(struct rpc *r, const json_t *pty, uint16_t *cols, uint16_t *rows)
{
    json_t *size = NULL;
    int64_t c = 80, l = 24;
    struct err e;

    if (json_get_obj(pty, "size", &size, &e) < 0 ||
        (size && (json_get_i64(size, "cols", 0, UINT16_MAX, &c, &e) < 0 ||
                  json_get_i64(size, "rows", 0, UINT16_MAX, &l, &e) < 0)))
        return rpc_fail_field(r, &e);
    *cols = (uint16_t)c; /* in range: checked above */
    *rows = (uint16_t)l;
    return 0;
}

static int read_start(struct rpc *r, struct start_request *q)
{
    struct err e;
    int has;

    if ((has = json_get_obj(r->req, "process", &q->process, &e)) <= 0)
        return has < 0 ? rpc_fail_field(r, &e)
                       : rpc_fail(r, CONNECT_INVALID_ARGUMENT, "field 'process' is missing");
    if (json_get_str(q->process, "cmd", PATHS_MAX - 1, &q->cmd, &e) < 0 ||
        json_get_array(q->process, "args", &q->args, &e) < 0 ||
        json_get_str_map(q->process, "envs", SETTINGS_ENV_PAIRS, SETTINGS_ENV_BYTES, &q->envs,
                         &e) < 0 ||
        json_get_str(q->process, "cwd", PATHS_MAX - 1, &q->cwd, &e) < 0 ||
        json_get_obj(r->req, "pty", &q->pty, &e) < 0 ||
        json_get_str(r->req, "tag", PROC_TAG_MAX, &q->tag, &e) < 0 ||
        (has = json_get_bool(r->req, "stdin", &q->has_stdin, &e)) < 0)
        return rpc_fail_field(r, &e);
    q->stdin_given = has > 0;
    if (!q->cmd || !q->cmd[0])
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "field 'cmd' is missing");
    const char *name;
    json_t *value;
    json_object_foreach(
        q->envs, name,
        value) if (!name[0] ||
                   strchr(name, '=')) return rpc_fail(r, CONNECT_INVALID_ARGUMENT,
                                                      "'%.64s' is no name of a variable", name);
    return q->pty ? read_size(r, q->pty, &q->cols, &q->rows) : 0;
}

static int find_cwd(struct rpc *r, const struct user *who, const char *asked,
                    char out[PATHS_MAX])
{
    char workdir[PATHS_MAX];
    struct stat st;

    settings_default_workdir(&r->app->settings, workdir);
    int rc = paths_resolve(str_from(asked), who->home, workdir, out);
    if (rc < 0)
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "cwd '%s' cannot be resolved", asked);
    if (stat(out, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "cwd '%s' does not exist", out);
    return 0;
}

static void fail_start(struct rpc *r, int rc, enum spawn_step step, const char *cmd,
                       const char *cwd, const struct err *e)
{
    if (rc == -EAGAIN && step == (enum spawn_step)0)
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "%s", e->text);
    else if (step == SPAWN_CHDIR && rc == -EACCES)
        (void)rpc_fail(r, CONNECT_PERMISSION_DENIED, "cwd '%s': permission denied", cwd);
    else if (step == SPAWN_CHDIR)
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "cwd '%s': %s", cwd, strerror(-rc));
    else if (step == SPAWN_EXEC)
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "error starting process '%s': %s", cmd,
                       strerror(-rc));
    else
        (void)rpc_fail_errno(r, -rc, "error starting process '%s'", cmd);
}

static void start(struct rpc *r)
{
    AUTO_USERS struct users files = { 0 };
    AUTO_STRINGS char **argv = NULL;
    AUTO_STRINGS char **envp = NULL;
    struct start_request q = { 0 };
    char cwd[PATHS_MAX], file[USER_PATH_MAX];
    struct user who;
    struct proc_sub *sub = NULL;
    enum spawn_step step;
    struct err e;

    if (read_start(r, &q) < 0 || rpc_user(r, &files, &who) < 0 ||
        find_cwd(r, &who, q.cwd ? q.cwd : "", cwd) < 0 || !(argv = read_args(r, q.cmd, q.args)))
        return;
    AUTO_JSON json_t *env = process_environment(r->app, &who, q.envs);
    if (!env || !(envp = process_env_strings(env))) {
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    int rc = spawn_find_program(q.cmd, json_string_value(json_object_get(env, "PATH")), file);
    if (rc < 0) {
        fail_start(r, rc, SPAWN_EXEC, q.cmd, cwd, &e);
        return;
    }
    struct proc_spec spec = {
        .kind = q.pty ? PROC_TERMINAL : PROC_PIPES,
        .run = { .file = file, .argv = argv, .envp = envp, .cwd = cwd, .user = &who },
        .no_stdin = q.stdin_given && !q.has_stdin,
        .cols = q.cols,
        .rows = q.rows,
        .tag = q.tag,
        .config = q.process,
        .deadline_ns = r->deadline_ns,
    };
    struct proc_ready ready;
    if (spec.kind == PROC_PIPES && spec.no_stdin && warm_take(r->app->warm, &spec.run, &ready))
        spec.ready = &ready;
    else
        warm_dirty(r->app->warm);
    if (!r->app->is_root)
        spec.run.user = NULL;
    rc = proc_start(r->app->procs, &spec, &sub, &step, &e);
    if (rc < 0) {
        fail_start(r, rc, step, q.cmd, cwd, &e);
        return;
    }
    r->deadline_ns = 0; /* the table keeps it, also after the client has gone */
    follow(r, sub, true);
    proc_sub_close(sub);
}

/* --- the others --- */

static int read_selector(struct rpc *r, struct proc_selector *out)
{
    json_t *obj = NULL;
    int64_t pid = 0;
    struct err e;

    *out = (struct proc_selector){ 0 };
    if (json_get_obj(r->req, "process", &obj, &e) < 0 ||
        (obj && (json_get_str(obj, "tag", PROC_TAG_MAX, &out->tag, &e) < 0 ||
                 json_get_i64(obj, "pid", 0, UINT32_MAX, &pid, &e) < 0)))
        return rpc_fail_field(r, &e);
    if (!obj || (!out->tag && pid == 0))
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT,
                        "no process selected: give 'pid' or 'tag'");
    out->pid = pid <= INT32_MAX ? (pid_t)pid : 0; /* no pid is that big: found by nobody */
    return 0;
}

static int fail_unknown(struct rpc *r, const struct proc_selector *sel)
{
    if (sel->tag)
        return rpc_fail(r, CONNECT_NOT_FOUND, "process with tag %s not found", sel->tag);
    return rpc_fail(r, CONNECT_NOT_FOUND, "process with pid %d not found", (int)sel->pid);
}

static void reply_nothing(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(16);
    buf_add_cstr(&json, "{}");
    rpc_reply(r, &json);
}

static void connect_to(struct rpc *r)
{
    struct proc_selector sel;
    struct proc_sub *sub;

    if (read_selector(r, &sel) < 0)
        return;
    int rc = proc_subscribe(r->app->procs, &sel, &sub);
    if (rc == -ENOENT) {
        (void)fail_unknown(r, &sel);
    } else if (rc < 0) {
        (void)rpc_fail_errno(r, -rc, "connect to the process");
    } else {
        follow(r, sub, false);
        proc_sub_close(sub);
    }
}

static void list(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(64u << 20);
    AUTO_JSON json_t *all = proc_list(r->app->procs);

    buf_add_cstr(&json, "{\"processes\":");
    if (!all || !json_write(&json, all)) {
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    buf_add_cstr(&json, "}");
    rpc_reply(r, &json);
}

static void update(struct rpc *r)
{
    struct proc_selector sel;
    json_t *pty = NULL;
    uint16_t cols = 0, rows = 0;
    struct err e;

    if (read_selector(r, &sel) < 0)
        return;
    if (json_get_obj(r->req, "pty", &pty, &e) < 0) {
        (void)rpc_fail_field(r, &e);
        return;
    }
    if (pty && read_size(r, pty, &cols, &rows) < 0)
        return;
    int rc = pty ? proc_resize(r->app->procs, &sel, cols, rows) : 0;
    if (rc == -ENOENT)
        (void)fail_unknown(r, &sel);
    else if (rc == -ENOTTY)
        (void)rpc_fail(r, CONNECT_INTERNAL, "tty not assigned to process");
    else if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "resize the terminal");
    else
        reply_nothing(r);
}

static bool client_gone(void *arg)
{
    return http_peer_gone(arg);
}

static void send_input(struct rpc *r)
{
    AUTO_BUF struct buf data = BUF_INIT(STDIN_MAX);
    struct proc_selector sel;
    json_t *input = NULL;
    const char *text = NULL;
    struct err e;
    int tty = 0;

    if (read_selector(r, &sel) < 0)
        return;
    if (json_get_obj(r->req, "input", &input, &e) < 0 ||
        (input && json_get_str(input, "stdin", RPC_BODY_MAX, &text, &e) < 0) ||
        (input && !text && (tty = json_get_str(input, "pty", RPC_BODY_MAX, &text, &e)) < 0)) {
        (void)rpc_fail_field(r, &e);
        return;
    }
    if (!text) {
        (void)rpc_fail(r, CONNECT_UNIMPLEMENTED, "invalid input type: give 'stdin' or 'pty'");
        return;
    }
    if (base64_decode(str_from(text), &data) < 0) {
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the input is not base64");
        return;
    }
    int rc = proc_input(r->app->procs, &sel, tty > 0, buf_str(&data), client_gone, r->conn);
    if (rc == -ENOENT)
        (void)fail_unknown(r, &sel);
    else if (rc == -ENOTTY)
        (void)rpc_fail(r, CONNECT_INTERNAL,
                       tty > 0 ? "tty not assigned to process"
                               : "tty assigned to process: use 'pty' for its input");
    else if (rc == -EPIPE)
        (void)rpc_fail(r, CONNECT_INTERNAL, "stdin not enabled or closed");
    else if (rc < 0)
        (void)rpc_fail(r, CONNECT_INTERNAL, "error writing input: %s", strerror(-rc));
    else
        reply_nothing(r);
}

static void close_stdin(struct rpc *r)
{
    struct proc_selector sel;

    if (read_selector(r, &sel) < 0)
        return;
    int rc = proc_close_stdin(r->app->procs, &sel);
    if (rc == -ENOENT)
        (void)fail_unknown(r, &sel);
    else if (rc < 0)
        (void)rpc_fail(r, CONNECT_UNKNOWN,
                       "cannot close stdin for PTY process - send Ctrl+D (0x04) instead");
    else
        reply_nothing(r);
}

static int read_signal(const json_t *req)
{
    const json_t *s = json_object_get(req, "signal");
    const char *name = json_string_value(s);

    if (json_is_integer(s))
        return json_integer_value(s) == SIGTERM   ? SIGTERM
               : json_integer_value(s) == SIGKILL ? SIGKILL
                                                  : 0;
    if (name && strcmp(name, "SIGNAL_SIGTERM") == 0)
        return SIGTERM;
    return name && strcmp(name, "SIGNAL_SIGKILL") == 0 ? SIGKILL : 0;
}

static void send_signal(struct rpc *r)
{
    struct proc_selector sel;
    int signal = read_signal(r->req);

    if (read_selector(r, &sel) < 0)
        return;
    if (signal == 0) {
        (void)rpc_fail(r, CONNECT_UNIMPLEMENTED, "invalid signal: only SIGTERM and SIGKILL");
        return;
    }
    int rc = proc_signal(r->app->procs, &sel, signal);
    if (rc == -ENOENT)
        (void)fail_unknown(r, &sel);
    else if (rc < 0)
        (void)rpc_fail(r, CONNECT_INTERNAL, "error sending signal: %s", strerror(-rc));
    else
        reply_nothing(r);
}

static void stream_input(struct rpc *r)
{
    (void)rpc_fail(r, CONNECT_UNIMPLEMENTED, "StreamInput is not served: use SendInput");
}

static const struct rpc_method METHODS[] = {
    { "/process.Process/Start", true, start },
    { "/process.Process/Connect", true, connect_to },
    { "/process.Process/List", false, list },
    { "/process.Process/Update", false, update },
    { "/process.Process/SendInput", false, send_input },
    { "/process.Process/CloseStdin", false, close_stdin },
    { "/process.Process/SendSignal", false, send_signal },
    { "/process.Process/StreamInput", true, stream_input },
};

const struct rpc_method *process_rpc_find(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(METHODS); i++)
        if (str_eq(path, str_from(METHODS[i].path)))
            return &METHODS[i];
    return NULL;
}
