/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/process_event.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "codec/base64.h"
#include "codec/json.h"

/* The names of syscall.Signal.String in Go for Linux, which is what an E2B agent sends. */
static const struct {
    const char *words;
    int number;
} signals[] = {
    { "hangup", SIGHUP },
    { "interrupt", SIGINT },
    { "quit", SIGQUIT },
    { "illegal instruction", SIGILL },
    { "trace/breakpoint trap", SIGTRAP },
    { "aborted", SIGABRT },
    { "bus error", SIGBUS },
    { "floating point exception", SIGFPE },
    { "killed", SIGKILL },
    { "user defined signal 1", SIGUSR1 },
    { "segmentation fault", SIGSEGV },
    { "user defined signal 2", SIGUSR2 },
    { "broken pipe", SIGPIPE },
    { "alarm clock", SIGALRM },
    { "terminated", SIGTERM },
    { "stack fault", SIGSTKFLT },
    { "CPU time limit exceeded", SIGXCPU },
    { "file size limit exceeded", SIGXFSZ },
    { "bad system call", SIGSYS },
};

int process_signal_status(const char *status_text)
{
    struct str s = str_from(status_text);

    if (!str_starts(s, STR("signal: ")))
        return 0;
    s = str_sub(s, sizeof "signal: " - 1, s.n);
    if (str_ends(s, STR(" (core dumped)")))
        s.n -= sizeof " (core dumped)" - 1;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (str_eq_nocase(s, str_from(signals[i].words)))
            return 128 + signals[i].number;
    return 0;
}

static int read_end(const json_t *end, struct process_event *ev, struct err *e)
{
    const char *status = "", *why = "";
    int64_t code = 0;
    bool exited = false;

    if (json_get_i64(end, "exitCode", INT32_MIN, INT32_MAX, &code, e) < 0 ||
        json_get_str(end, "status", 1024, &status, e) < 0 ||
        json_get_str(end, "error", 4096, &why, e) < 0 ||
        json_get_bool(end, "exited", &exited, e) < 0)
        return -e->code;
    ev->kind = PROCESS_END;
    (void)snprintf(ev->status_text, sizeof ev->status_text, "%s", *status ? status : why);
    int by_signal = process_signal_status(ev->status_text);
    if (by_signal)
        ev->exit_status = by_signal;
    else /* -1 without a known signal: it failed, and no shell knows how */
        ev->exit_status = code < 0 || code > 255 ? 255 : (int)code;
    return 0;
}

static int read_data(const json_t *data, struct process_event *ev, struct buf *bytes,
                     struct err *e)
{
    static const char *const fields[] = { "stdout", "stderr", "pty" };

    ev->kind = PROCESS_DATA;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *v = json_object_get(data, fields[i]);
        if (!v || json_is_null(v))
            continue;
        if (!json_is_string(v))
            return err_say(e, EPROTO, "output is not a string");
        struct str text = { json_string_value(v), json_string_length(v) };
        if (base64_decode(text, bytes) < 0)
            return err_say(e, EPROTO, "output is not base64");
        if (!buf_ok(bytes))
            return err_set(e, bytes->failed, "output");
        ev->to_stderr = i == 1;
        return 0;
    }
    return 0; /* no bytes: an empty message */
}

int process_event_read(struct str json, struct process_event *ev, struct buf *bytes,
                       struct err *e)
{
    AUTO_JSON json_t *root = json_parse(json, e);

    if (!root) {
        e->code = EPROTO;
        return err_wrap(e, "process stream");
    }
    *ev = (struct process_event){ .kind = PROCESS_OTHER };
    const json_t *event = json_object_get(root, "event");
    const json_t *start = json_object_get(event, "start"),
                 *data = json_object_get(event, "data");
    const json_t *end = json_object_get(event, "end");
    int rc = 0;
    if (json_is_object(start)) {
        int64_t pid = 0;
        rc = json_get_i64(start, "pid", 0, UINT32_MAX, &pid, e);
        ev->kind = PROCESS_START;
        ev->pid = (uint64_t)pid;
    } else if (json_is_object(data)) {
        rc = read_data(data, ev, bytes, e);
    } else if (json_is_object(end)) {
        rc = read_end(end, ev, e);
    }
    if (rc < 0) {
        e->code = EPROTO;
        return err_wrap(e, "process stream");
    }
    return 0;
}

int process_stream_end_read(struct str json, struct err *e)
{
    AUTO_JSON json_t *root = json_parse(json, e);
    json_t *error = NULL;
    const char *code = "unknown", *message = "";

    if (!root) {
        e->code = EPROTO;
        return err_wrap(e, "end of the process stream");
    }
    if (json_get_obj(root, "error", &error, e) < 0 ||
        (error && (json_get_str(error, "code", 64, &code, e) < 0 ||
                   json_get_str(error, "message", 4096, &message, e) < 0))) {
        e->code = EPROTO;
        return err_wrap(e, "end of the process stream");
    }
    if (!error)
        return 0;
    return err_say(e, strcmp(code, "deadline_exceeded") == 0 ? ETIMEDOUT : EPROTO, "%s%s%.180s",
                   code, *message ? ": " : "", message);
}
