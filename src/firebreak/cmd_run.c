/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak run: one program in one new sandbox, which is killed afterwards whatever happens. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/connect.h"
#include "codec/json.h"
#include "codec/url.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"
#include "firebreak/lang.h"
#include "firebreak/process_event.h"

#define PROGRAM_MAX       (64u << 20) /* bytes of a program */
#define CAPTURE_MAX       (32u << 20) /* bytes of each of stdout and stderr that --json keeps */
#define MESSAGE_MAX       (4u << 20)  /* bytes of one message of the stream */
#define READ_BYTES        65536u
#define TIMEOUT_DEFAULT_S 300u
#define TIMEOUT_MAX_S     86400u
#define SANDBOX_MARGIN_S                                                                       \
    30u /* the sandbox outlives its program's deadline by this, then ends by itself */
#define STATUS_TIMED_OUT 124 /* as timeout(1) */

struct run {
    const struct lang *lang;
    const char *template_id;
    const char *code; /* -c, or NULL */
    const char *file; /* operand, or NULL */
    char *const *args;
    size_t n_args;
    uint64_t timeout_s;
    bool json;
    struct buf program;  /* of a file or standard input */
    struct buf out, err; /* --json: what it wrote */
    bool cut;            /* some of it was too much to keep */
    int status;
    struct api api;
    struct api_sandbox sandbox;
};

/* A handler has no argument, so these two are global: which signal came, and the stream whose reader must wake up. */
static volatile sig_atomic_t caught_signal;
static volatile sig_atomic_t stream_fd = -1;

static void on_signal(int number)
{
    int saved = errno;

    caught_signal = number;
    if (stream_fd >= 0)
        (void)shutdown(stream_fd,
                       SHUT_RDWR); /* async-signal-safe; the blocked read sees the end */
    errno = saved;
}

static void catch_signals(sigset_t *set)
{
    const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction sa = { .sa_handler = on_signal };

    (void)sigemptyset(set);
    (void)sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        (void)sigaddset(set, numbers[i]);
        (void)sigaction(numbers[i], &sa, NULL);
    }
}

static int read_program(struct run *r, struct err *e)
{
    bool from_stdin = strcmp(r->file, "-") == 0;
    AUTO_CLOSE int own_fd = from_stdin ? -1 : open(r->file, O_RDONLY | O_CLOEXEC);
    int fd = from_stdin ? STDIN_FILENO : own_fd;
    struct stat st;

    if (fd < 0)
        return err_set(e, errno, "open '%s'", r->file);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(e, EISDIR, "read '%s'", r->file);
    for (;;) {
        char *room = buf_reserve(&r->program, 65536);
        if (!room)
            return err_say(e, EFBIG, "'%s' is larger than %u MiB", r->file, PROGRAM_MAX >> 20);
        ssize_t n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read '%s'", r->file);
        if (n == 0)
            return 0;
        r->program.n += (size_t)n;
    }
}

static int create_sandbox(struct run *r, struct err *e)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    AUTO_JSON json_t *body = json_pack("{s:s, s:I}", "templateID", r->template_id, "timeout",
                                       (json_int_t)r->timeout_s + SANDBOX_MARGIN_S);
    const char *id = NULL, *token = "";

    if (!body)
        return err_say(e, EINVAL, "the template's name is not valid UTF-8");
    int rc = api_expect(&r->api, "POST", "/v2/sandboxes", body, &answer, e);
    if (rc < 0)
        return err_wrap(e, "cannot create a sandbox");
    if (json_get_str(answer.json, "sandboxID", API_SANDBOX_ID_MAX, &id, e) < 0 ||
        json_get_str(answer.json, "envdAccessToken", API_TOKEN_MAX, &token, e) < 0)
        return err_wrap(e, "the answer to create");
    if (!id || !api_is_sandbox_id(id) || strpbrk(token, "\r\n"))
        return err_say(e, EPROTO, "the answer to create names no sandbox");
    (void)snprintf(r->sandbox.id, sizeof r->sandbox.id, "%s", id);
    (void)snprintf(r->sandbox.token, sizeof r->sandbox.token, "%s", token);
    return 0;
}

static int kill_sandbox(struct run *r, struct err *e)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    char target[API_SANDBOX_ID_MAX + 16];

    (void)snprintf(target, sizeof target, "/sandboxes/%s", r->sandbox.id);
    int rc = api_expect(&r->api, "DELETE", target, NULL, &answer, e);
    return rc == -ENOENT ? 0 : rc; /* it has ended by itself */
}

/* Where the program lies in the sandbox: its own name in the user's home, so that its messages read as usual. */
static void path_inside(const struct run *r, struct buf *path)
{
    const char *slash = strrchr(r->file, '/');
    const char *base = slash ? slash + 1 : r->file;

    buf_add_cstr(path, "/home/user/");
    if (strcmp(r->file, "-") == 0) {
        buf_add_cstr(path, "main");
        buf_add_cstr(path, r->lang->extension);
    } else {
        buf_add_cstr(path, base);
    }
}

static int upload(struct run *r, const char *path, struct err *e)
{
    AUTO_BUF struct buf target = BUF_INIT(HTTP1_TARGET_MAX);
    struct http_client c;

    buf_add_cstr(&target, "/files?path=");
    url_encode(str_from(path), &target);
    if (!buf_ok(&target))
        return err_say(e, ENAMETOOLONG, "the file's name is too long");
    int rc = api_agent_send(&r->api, &r->sandbox, "POST", buf_cstr(&target),
                            "Content-Type: application/octet-stream\r\n", buf_str(&r->program),
                            &c, e);
    if (rc < 0)
        return err_wrap(e, "cannot upload the program");
    rc = http_client_head(&c, false, e);
    if (rc == 0 && c.head.status != 200)
        rc = api_agent_error(&c, "cannot upload the program", e);
    http_client_fini(&c);
    return rc;
}

static int start_message(const struct run *r, const char *path, struct buf *out, struct err *e)
{
    AUTO_BUF struct buf json = BUF_INIT(MESSAGE_MAX);
    AUTO_JSON json_t *args = json_array();
    AUTO_JSON json_t *root = NULL;

    bool ok = args != NULL;
    if (r->code) {
        ok = ok && json_array_append_new(args, json_string(r->lang->code_flag)) == 0;
        ok = ok && json_array_append_new(args, json_string(r->code)) == 0;
        /* bash takes the word after the code as $0 */
        if (ok && strcmp(r->lang->name, "bash") == 0)
            ok = json_array_append_new(args, json_string("bash")) == 0;
    } else {
        ok = ok && json_array_append_new(args, json_string(path)) == 0;
    }
    for (size_t i = 0; ok && i < r->n_args; i++)
        ok = json_array_append_new(args, json_string(r->args[i])) == 0;
    if (!ok)
        return err_say(e, EINVAL, "the code and its arguments must be valid UTF-8");
    /* Unbuffered, so that a program's output is seen while it runs. */
    root = json_pack("{s:{s:s, s:O, s:{s:s}}, s:b}", "process", "cmd", r->lang->program, "args",
                     args, "envs", "PYTHONUNBUFFERED", "1", "stdin", 0);
    if (!root || !json_write(&json, root))
        return err_say(e, EINVAL, "the code and its arguments are larger than %u MiB",
                       MESSAGE_MAX >> 20);
    connect_write(out, 0, buf_str(&json));
    return buf_ok(out) ? 0 : err_set(e, out->failed, "make the request");
}

/* Passes output on, or keeps it. */
static int emit(struct run *r, bool to_stderr, struct str bytes, struct err *e)
{
    if (r->json) {
        struct buf *keep = to_stderr ? &r->err : &r->out;
        size_t room = keep->max - keep->n;
        if (bytes.n > room) {
            bytes.n = room;
            r->cut = true;
        }
        buf_add_str(keep, bytes);
        return buf_ok(keep) ? 0 : err_set(e, keep->failed, "keep the output");
    }
    int fd = to_stderr ? STDERR_FILENO : STDOUT_FILENO;
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR && !caught_signal)
            continue;
        if (n < 0)
            return err_set(e, errno, "write to standard %s", to_stderr ? "error" : "output");
        done += (size_t)n;
    }
    return 0;
}

/* More bytes of the stream, or why there are none. */
static int read_more(struct http_client *c, struct buf *in, struct err *e)
{
    char *room = buf_reserve(in, READ_BYTES);

    if (!room)
        return err_set(e, ENOMEM, "the process stream");
    long n = http_client_read(c, room, READ_BYTES, e);
    if (n < 0)
        return err_wrap(e, "the process stream broke off");
    if (n == 0)
        return err_say(e, EPROTO, "the process stream ended too soon");
    in->n += (size_t)n;
    return 0;
}

/* Acts on one message. *ended becomes true with the message that tells the exit status. */
static int on_message(struct run *r, struct str payload, bool *ended, struct buf *scratch,
                      struct err *e)
{
    struct process_event ev;

    buf_clear(scratch);
    int rc = process_event_read(payload, &ev, scratch, e);
    if (rc == 0 && ev.kind == PROCESS_DATA)
        rc = emit(r, ev.to_stderr, buf_str(scratch), e);
    if (rc < 0 || ev.kind != PROCESS_END)
        return rc;
    *ended = true;
    r->status = ev.exit_status;
    if (!r->json && process_signal_status(ev.status_text)) {
        (void)fputs("firebreak: ", stderr);
        cli_print_safe(stderr, ev.status_text);
        (void)putc('\n', stderr);
    }
    return 0;
}

/* Reads the stream to its end. r->status is the program's when this returns 0. */
static int follow(struct run *r, struct http_client *c, struct err *e)
{
    AUTO_BUF struct buf in = BUF_INIT(MESSAGE_MAX + READ_BYTES);
    AUTO_BUF struct buf scratch = BUF_INIT(MESSAGE_MAX);
    bool ended = false;

    for (;;) {
        unsigned flags = 0;
        struct str payload = { 0 };
        int rc;
        long whole = connect_read(in.p, in.n, MESSAGE_MAX, &flags, &payload);
        if (whole < 0)
            return err_set(e, (int)-whole, "the process stream");
        if (whole > 0 && (flags & CONNECT_FLAG_END)) {
            rc = process_stream_end_read(payload, e);
            if (rc == 0 && !ended)
                rc = err_say(e, EPROTO, "the process stream tells no exit status");
            return rc;
        }
        rc = whole == 0 ? read_more(c, &in, e) : on_message(r, payload, &ended, &scratch, e);
        if (rc < 0)
            return rc;
        buf_consume(&in, (size_t)whole);
    }
}

static int run_program(struct run *r, const char *path, const sigset_t *signals, struct err *e)
{
    AUTO_BUF struct buf body = BUF_INIT(MESSAGE_MAX + 64);
    char headers[256];
    struct http_client c;

    int rc = start_message(r, path, &body, e);
    if (rc < 0)
        return rc;
    (void)snprintf(headers, sizeof headers,
                   "Content-Type: application/connect+json\r\nConnect-Protocol-Version: 1\r\n"
                   "Connect-Timeout-Ms: %llu\r\nKeepalive-Ping-Interval: 30\r\n",
                   (unsigned long long)(r->timeout_s * 1000));
    rc = api_agent_send(&r->api, &r->sandbox, "POST", "/process.Process/Start", headers,
                        buf_str(&body), &c, e);
    if (rc < 0)
        return err_wrap(e, "cannot start the program");
    stream_fd = c.fd;
    (void)sigprocmask(SIG_UNBLOCK, signals, NULL); /* from here on a signal ends the wait */
    rc = http_client_head(&c, false, e);
    if (rc == 0 && c.head.status != 200)
        rc = api_agent_error(&c, "cannot start the program", e);
    if (rc == 0)
        rc = follow(r, &c, e);
    (void)sigprocmask(SIG_BLOCK, signals, NULL);
    stream_fd = -1;
    http_client_fini(&c);
    return rc;
}

/* The isolation report of the sandbox, or NULL. Owned. */
static json_t *isolation_of(struct run *r)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    char target[API_SANDBOX_ID_MAX + 16];
    struct err ignored;

    (void)snprintf(target, sizeof target, "/sandboxes/%s", r->sandbox.id);
    if (api_expect(&r->api, "GET", target, NULL, &answer, &ignored) < 0)
        return NULL; /* the program's result counts, also without the report */
    return json_incref(json_object_get(answer.json, "isolation"));
}

static int print_result(const struct run *r, const json_t *isolation, uint64_t duration_ns,
                        const struct err *failed)
{
    AUTO_BUF struct buf out = BUF_INIT(8 * (size_t)CAPTURE_MAX);

    buf_add_cstr(&out, "{\"sandbox_id\":");
    json_write_str(&out, str_from(r->sandbox.id));
    buf_add_cstr(&out, ",\"stdout\":");
    json_write_str(&out, buf_str(&r->out));
    buf_add_cstr(&out, ",\"stderr\":");
    json_write_str(&out, buf_str(&r->err));
    buf_addf(&out, ",\"exit_code\":%d,\"duration_ms\":%llu", r->status,
             (unsigned long long)(duration_ns / NS_PER_MS));
    if (r->cut)
        buf_add_cstr(&out, ",\"truncated\":true");
    if (failed) {
        buf_add_cstr(&out, ",\"error\":");
        json_write_str(&out, str_from(failed->text));
    }
    buf_add_cstr(&out, ",\"isolation\":");
    if (!isolation || !json_write(&out, isolation))
        buf_add_cstr(&out, "null");
    buf_add_cstr(&out, "}\n");
    if (!buf_ok(&out)) {
        struct err e;
        (void)err_set(&e, out.failed, "the result");
        return cli_fail(&e, NULL);
    }
    (void)fwrite(out.p, 1, out.n, stdout);
    return cli_finish_stdout(r->status);
}

/* Everything from the first request to the exit status. */
static int run_it(struct run *r)
{
    AUTO_BUF struct buf path = BUF_INIT(4096);
    AUTO_JSON json_t *isolation = NULL;
    struct err e = { 0 }, kill_error;
    sigset_t signals;

    catch_signals(&signals);
    /* While a sandbox is being made, its id is not known and it could not be killed: let signals wait. */
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    int rc = create_sandbox(r, &e);
    if (rc < 0)
        return cli_fail(&e, rc == -ENOENT ? "firebreak template ls lists those that there are"
                                          : api_hint(&e));

    if (r->file) {
        path_inside(r, &path);
        rc = buf_ok(&path) ? upload(r, buf_cstr(&path), &e)
                           : err_say(&e, ENAMETOOLONG, "the file's name is too long");
    }
    uint64_t begun_ns = clock_mono_ns();
    if (rc == 0)
        rc = run_program(r, buf_cstr(&path), &signals, &e);
    uint64_t duration_ns = clock_mono_ns() - begun_ns;
    if (r->json && !caught_signal)
        isolation = isolation_of(r);
    int killed = kill_sandbox(r, &kill_error);

    if (caught_signal) {
        r->status = 128 + caught_signal;
        (void)fprintf(stderr, "firebreak: interrupted; the sandbox was %s\n",
                      killed == 0 ? "killed" : "not killed: it ends by its own time-out");
    } else if (rc == -ETIMEDOUT) {
        r->status = STATUS_TIMED_OUT;
        (void)err_say(&e, ETIMEDOUT, "the program was ended after %llu s (--timeout)",
                      (unsigned long long)r->timeout_s);
        (void)fprintf(stderr, "firebreak: %s\n", e.text);
    } else if (rc == -EPIPE) {
        r->status = 128 + SIGPIPE; /* our reader has gone: say nothing, as a filter does */
    } else if (rc < 0) {
        r->status = cli_fail(&e, api_hint(&e));
    }
    if (killed < 0 && !caught_signal)
        (void)cli_fail(&kill_error, "the sandbox ends by its own time-out");
    return r->json ? print_result(r, isolation, duration_ns, rc < 0 ? &e : NULL) : r->status;
}

static int choose_lang(struct run *r, const char *name)
{
    if (name) {
        r->lang = lang_by_name(name);
        return r->lang ? 0 : cli_usage_error(&cmd_run, "unknown language '%s'", name);
    }
    if (!r->file) { /* -c */
        r->lang = lang_by_name("python");
        return 0;
    }
    r->lang = lang_by_shebang(buf_str(&r->program));
    if (!r->lang)
        r->lang = lang_by_file_name(r->file);
    if (!r->lang && strcmp(r->file, "-") == 0)
        r->lang = lang_by_name("python");
    return r->lang ? 0
                   : cli_usage_error(&cmd_run,
                                     "cannot tell the language of '%s': add --lang python, "
                                     "javascript or bash",
                                     r->file);
}

static int read_and_run(struct run *r, const char *lang, const struct place *place)
{
    static const char no_file[] =
        "name a program file, give its text with -c CODE, or '-' for standard input";
    struct err e;
    int rc = r->file ? read_program(r, &e) : 0;

    if (rc < 0)
        return cli_fail(&e, rc == -ENOENT || rc == -EISDIR ? no_file : NULL);
    rc = choose_lang(r, lang);
    if (rc != 0)
        return rc;
    rc = api_open(&r->api, place, &e) < 0 ? cli_fail(&e, api_hint(&e)) : run_it(r);
    api_close(&r->api);
    return rc;
}

static int run_run(int argc, char **argv)
{
    enum { OPT_LANG = 256, OPT_TEMPLATE, OPT_JSON, OPT_TIMEOUT };
    static const struct option options[] = {
        { "lang", required_argument, NULL, OPT_LANG },
        { "template", required_argument, NULL, OPT_TEMPLATE },
        { "json", no_argument, NULL, OPT_JSON },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        PLACE_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct run r = {
        .template_id = "base",
        .timeout_s = TIMEOUT_DEFAULT_S,
        .program = BUF_INIT(PROGRAM_MAX),
        .out = BUF_INIT(CAPTURE_MAX),
        .err = BUF_INIT(CAPTURE_MAX),
    };
    struct place place = { 0 };
    const char *lang = NULL;
    struct err e;
    int o;

    while ((o = cli_next_option(&cmd_run, argc, argv, "c:", options)) >= 0) {
        if (o == 'c')
            r.code = optarg;
        else if (o == OPT_LANG)
            lang = optarg;
        else if (o == OPT_TEMPLATE)
            r.template_id = optarg;
        else if (o == OPT_JSON)
            r.json = true;
        else if (o == OPT_TIMEOUT &&
                 num_parse_u64(str_from(optarg), 1, TIMEOUT_MAX_S, &r.timeout_s) < 0)
            return cli_usage_error(&cmd_run, "--timeout takes 1 to %u seconds, not '%s'",
                                   TIMEOUT_MAX_S, optarg);
        else
            (void)place_option(&place, o, optarg);
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (!r.code && optind >= argc)
        return cli_usage_error(&cmd_run, "nothing to run: name a file, '-', or give -c CODE");
    if (!r.code)
        r.file = argv[optind++];
    r.args = argv + optind;
    r.n_args = (size_t)(argc - optind);
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_run, "%s", e.text);

    int rc = read_and_run(&r, lang, &place);
    buf_fini(&r.program);
    buf_fini(&r.out);
    buf_fini(&r.err);
    return rc;
}

const struct cli_command cmd_run = {
    .name = "run",
    .summary = "Run a program in a new sandbox and kill the sandbox afterwards",
    .usage = "[OPTIONS] FILE|-c CODE|- [-- ARGS...]",
    .help =
        "  --lang LANG       python, javascript or bash (default: by #! line, then by file "
        "extension;\n"
        "                    python for -c and -)\n"
        "  -c CODE           run this text instead of a file; '-' runs standard input\n"
        "  --template NAME   what the sandbox is made from (default: base)\n"
        "  --timeout S       end the program after S seconds (default: 300): exit status 124\n"
        "  --json            print one JSON object at the end instead of the output as it "
        "comes:\n"
        "                    sandbox_id, stdout, stderr, exit_code, duration_ms, "
        "isolation\n" PLACE_HELP "\nThe exit status is the program's, 128 + N if signal N "
        "ended it. The program's standard input is\n"
        "empty. The API is found by E2B_API_URL and E2B_API_KEY, else as 'firebreak up' left "
        "them.\n",
    .run = run_run,
};
