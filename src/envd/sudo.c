/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/sudo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "codec/json.h"
#include "envd/app.h"
#include "envd/paths.h"
#include "envd/process_rpc.h"
#include "envd/sudo_proto.h"
#include "envd/terminal.h"

#define REQUEST_SECONDS 10 /* for a request to arrive */
#define SECURE_PATH     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define STACK_BYTES     262144u

struct sudo {
    struct loop_source src; /* first */
    struct app *app;
    atomic_uint sessions;
    char path[PATHS_MAX];
};

struct session {
    struct sudo *sudo;
    struct app *app;
    int sock;
    int fd[SUDO_FDS]; /* stdin, stdout, stderr, working directory; -1 once given away */
    struct sudo_request req;
    char *strings;              /* req.bytes of them, owned */
    char **args, **vars, **env; /* into strings; owned arrays, args NULL-terminated */
    struct user caller, target;
    char *command; /* of -i and -s, owned */
};

/* --- saying things --- */

static int send_frame(int sock, enum sudo_type type, int32_t value)
{
    struct sudo_frame f = { (uint32_t)type, value };
    return send(sock, &f, sizeof f, MSG_NOSIGNAL) == (ssize_t)sizeof f ? 0 : -EPIPE;
}

__attribute__((format(printf, 2, 3))) static int refuse(struct session *s, const char *fmt, ...)
{
    char text[SUDO_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (send_frame(s->sock, SUDO_ERROR, (int32_t)len) == 0)
        (void)!send(s->sock, text, len, MSG_NOSIGNAL); /* the command may be gone */
    return -1;
}

static int send_terminal(int sock, int master)
{
    struct sudo_frame f = { SUDO_TERMINAL, 0 };
    struct iovec iov = { &f, sizeof f };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &master, sizeof master);
    return sendmsg(sock, &mh, MSG_NOSIGNAL) == (ssize_t)sizeof f ? 0 : -EPIPE;
}

/* --- the request --- */

static int recv_all(int sock, void *to, size_t n)
{
    char *at = to;

    while (n > 0) {
        ssize_t r = recv(sock, at, n, 0);
        if (r <= 0)
            return -ECONNRESET;
        at += r;
        n -= (size_t)r;
    }
    return 0;
}

/* The first bytes, with which the descriptors come. Each is owned before anything is looked at. */
static int recv_request(struct session *s)
{
    struct iovec iov = { &s->req, sizeof s->req };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SUDO_FDS * sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    size_t n_fds = 0;

    ssize_t n = recvmsg(s->sock, &mh, MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return -ECONNRESET;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (n_fds <=
            SUDO_FDS) /* more do not fit the buffer: the kernel closed them and says MSG_CTRUNC */
            memcpy(s->fd, CMSG_DATA(c), n_fds * sizeof(int));
    }
    if (n_fds != SUDO_FDS || (mh.msg_flags & MSG_CTRUNC))
        return -EPROTO;
    return recv_all(s->sock, (char *)&s->req + n, sizeof s->req - (size_t)n);
}

static int split(struct session *s)
{
    const struct sudo_request *q = &s->req;
    size_t n = (size_t)q->n_args + q->n_vars + q->n_env;
    char *at = s->strings, *end = s->strings + q->bytes;

    s->args = calloc((size_t)q->n_args + 1, sizeof *s->args);
    s->vars = calloc((size_t)q->n_vars + 1, sizeof *s->vars);
    s->env = calloc((size_t)q->n_env + 1, sizeof *s->env);
    if (!s->args || !s->vars || !s->env)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            return -EPROTO;
        if (i < q->n_args)
            s->args[i] = at;
        else if (i < (size_t)q->n_args + q->n_vars)
            s->vars[i - q->n_args] = at;
        else
            s->env[i - q->n_args - q->n_vars] = at;
        at = nul + 1;
    }
    return at == end ? 0 : -EPROTO;
}

static int read_request(struct session *s)
{
    const struct sudo_request *q = &s->req;
    int rc = recv_request(s);

    if (rc < 0)
        return rc;
    if (q->version != SUDO_VERSION || q->bytes > SUDO_BYTES_MAX ||
        q->n_args > SUDO_STRINGS_MAX || q->n_vars > SUDO_STRINGS_MAX ||
        q->n_env > SUDO_STRINGS_MAX || q->user[SUDO_USER_MAX - 1] != '\0')
        return -EPROTO;
    s->strings = malloc(q->bytes + 1u);
    if (!s->strings)
        return -ENOMEM;
    rc = recv_all(s->sock, s->strings, q->bytes);
    return rc < 0 ? rc : split(s);
}

/* --- may they, and as whom --- */

static int authorize(struct session *s)
{
    AUTO_USERS struct users files = { 0 };
    struct ucred peer;
    socklen_t n = sizeof peer;

    if (getsockopt(s->sock, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return refuse(s, "cannot tell who asks");
    users_load(&files);
    bool known = users_by_uid(&files, peer.uid, &s->caller) == 0;
    if (peer.uid != 0 && (!known || !users_in_group(&files, &s->caller, STR("sudo"))))
        return refuse(s, "%s is not in the group sudo", users_uid_name(&files, peer.uid));
    s->caller.gid = peer.gid;
    const char *name = s->req.user;
    uint64_t uid;
    int rc = name[0] == '#' && num_parse_u64(str_from(name + 1), 0, UINT32_MAX - 1, &uid) == 0
                 ? users_by_uid(&files, (uid_t)uid, &s->target)
                 : users_by_name(&files, str_from(name), &s->target);
    return rc < 0 ? refuse(s, "unknown user: %s", name) : 0;
}

/* --- environment and command --- */

static int set(json_t *env, const char *name, const char *value)
{
    /* Not UTF-8 is the caller's right, and nothing to JSON: such a variable is left out. */
    json_t *text = json_string(value);
    return text ? json_object_set_new(env, name, text) : 0;
}

static int set_pair(json_t *env, const char *pair)
{
    char name[256];
    const char *eq = strchr(pair, '=');

    if (!eq || eq == pair ||
        str_copy((struct str){ pair, (size_t)(eq - pair) }, name, sizeof name) < 0)
        return 0;
    return set(env, name, eq + 1);
}

static bool is_kept(const char *pair)
{
    static const char *const kept[] = { "TERM=",      "LANG=",    "LANGUAGE=",  "LC_",
                                        "COLORTERM=", "DISPLAY=", "XAUTHORITY=" };
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (strncmp(pair, kept[i], strlen(kept[i])) == 0)
            return true;
    return false;
}

static json_t *make_env(const struct session *s)
{
    const struct user *t = &s->target;
    bool keep = s->req.flags & SUDO_KEEP_ENV,
         set_home = !keep || (s->req.flags & (SUDO_SET_HOME | SUDO_LOGIN));
    char uid[16], gid[16];
    json_t *env = json_object();
    int bad = env ? 0 : 1;

    (void)snprintf(uid, sizeof uid, "%u", s->caller.uid);
    (void)snprintf(gid, sizeof gid, "%u", s->caller.gid);
    for (size_t i = 0; !bad && i < s->req.n_env; i++)
        if (keep || is_kept(s->env[i]))
            bad |= set_pair(env, s->env[i]);
    if (!bad && (set_home || !json_object_get(env, "HOME")))
        bad |= set(env, "HOME", t->home);
    bad = bad || set(env, "PATH", SECURE_PATH) || set(env, "USER", t->name) ||
          set(env, "LOGNAME", t->name) || set(env, "SHELL", t->shell) ||
          set(env, "SUDO_UID", uid) || set(env, "SUDO_GID", gid) ||
          set(env, "SUDO_USER", s->caller.name);
    for (size_t i = 0; !bad && i < s->req.n_vars; i++)
        bad |= set_pair(env, s->vars[i]);
    if (bad) {
        json_decref(env);
        return NULL;
    }
    return env;
}

void sudo_join_command(char *const *args, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ' ');
        for (const char *c = args[i]; *c; c++) {
            bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                         (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || *c == '$' ||
                         (unsigned char)*c >= 0x80;
            if (!plain)
                buf_add_char(out, '\\');
            buf_add_char(out, *c);
        }
    }
}

/* argv of what is to run: the command itself, or the target's shell. `out` has room for 4 pointers or n_args + 1. */
static int make_argv(struct session *s, char name[USER_PATH_MAX], char file[USER_PATH_MAX],
                     char **out)
{
    AUTO_BUF struct buf line = BUF_INIT(2097152);
    static char dash_c[] = "-c";
    bool login = s->req.flags & SUDO_LOGIN;

    if (!login && !(s->req.flags & SUDO_SHELL)) {
        memcpy(out, s->args, (s->req.n_args + 1u) * sizeof *out);
        if (s->req.n_args == 0)
            return refuse(s, "no command given");
        if (spawn_find_program(out[0], SECURE_PATH, file) < 0)
            return refuse(s, "%.200s: command not found", out[0]);
        return 0;
    }
    (void)str_copy(str_from(s->target.shell), file, USER_PATH_MAX); /* the same size */
    struct str base = paths_base(str_from(file));
    (void)snprintf(name, USER_PATH_MAX, "%s%.*s", login ? "-" : "", (int)base.n, base.p);
    out[0] = name;
    out[1] = NULL;
    if (s->req.n_args > 0) {
        sudo_join_command(s->args, s->req.n_args, &line);
        s->command = buf_ok(&line) ? strdup(buf_cstr(&line)) : NULL;
        if (!s->command)
            return refuse(s, "the command is too long");
        out[1] = dash_c;
        out[2] = s->command;
        out[3] = NULL;
    }
    return 0;
}

/* --- running --- */

static int start(struct session *s, struct proc_sub **sub)
{
    AUTO_JSON json_t *env = make_env(s);
    AUTO_FREE char **argv = calloc((size_t)s->req.n_args + 4, sizeof *argv);
    char **envp = env ? process_env_strings(env) : NULL;
    char name[USER_PATH_MAX], file[USER_PATH_MAX];
    AUTO_CLOSE int master = -1;
    int slave = -1;
    enum spawn_step step;
    struct err e;

    int rc = argv && envp ? make_argv(s, name, file, argv) : refuse(s, "out of memory");
    struct proc_spec spec = { .kind = PROC_HIDDEN,
                              .run = { .file = file,
                                       .argv = argv,
                                       .envp = envp,
                                       .cwd = s->req.flags & SUDO_LOGIN ? s->target.home : NULL,
                                       .cwd_fd = s->fd[3],
                                       .user = s->app->is_root ? &s->target : NULL,
                                       .fd = { s->fd[0], s->fd[1], s->fd[2] } } };
    if (rc == 0 && (s->req.flags & SUDO_WANT_TERMINAL)) {
        uid_t owner = s->app->is_root ? s->target.uid : (uid_t)-1;
        if (terminal_open(s->req.cols, s->req.rows, owner, &master, &slave) < 0)
            rc = refuse(s, "cannot open a terminal");
        for (int i = 0; i < 3; i++)
            spec.run.fd[i] = slave;
        spec.run.terminal = true;
    }
    if (rc == 0 && (rc = proc_start(s->app->procs, &spec, sub, &step, &e)) < 0)
        (void)refuse(s, "%s", e.text);
    if (slave >= 0)
        (void)close(slave);
    process_free_strings(envp);
    if (rc == 0 && master >= 0)
        (void)send_terminal(s->sock,
                            master); /* if the command is gone, the session ends at once */
    return rc;
}

/* What the command asks while it waits. -1 when it is gone. */
static int take_frame(struct session *s, struct proc_sub *sub)
{
    static const int allowed[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGWINCH,
                                   SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2 };
    struct sudo_frame f;

    if (recv_all(s->sock, &f, sizeof f) < 0 || f.type != SUDO_SIGNAL)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        if (f.value == allowed[i])
            (void)proc_sub_kill(sub, allowed[i]); /* it may have ended */
    return 0;
}

static void attend(struct session *s, struct proc_sub *sub)
{
    struct pollfd fds[2] = { { .fd = s->sock, .events = POLLIN },
                             { .fd = proc_sub_fd(sub), .events = POLLIN } };
    struct proc_news news;

    for (;;) {
        proc_sub_look(sub, &news);
        if (news.ended) {
            (void)send_frame(s->sock, SUDO_STATUS, news.wait_status);
            return;
        }
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents && take_frame(s, sub) < 0)
            break;
    }
    (void)proc_sub_kill(sub, SIGKILL); /* nobody waits for it any more */
}

static void session_free(struct session *s)
{
    for (size_t i = 0; i < SUDO_FDS; i++)
        if (s->fd[i] >= 0)
            (void)close(s->fd[i]);
    (void)close(s->sock);
    free(s->args);
    free(s->vars);
    free(s->env);
    free(s->strings);
    free(s->command);
    free(s);
}

static void *session_main(void *arg)
{
    struct session *s = arg;
    struct sudo *sudo = s->sudo;
    struct proc_sub *sub = NULL;

    if (read_request(s) == 0 && authorize(s) == 0 && start(s, &sub) == 0) {
        /* The program has them; a reader at the other end waits for our copies as well. */
        for (size_t i = 0; i < SUDO_FDS; i++) {
            (void)close(s->fd[i]);
            s->fd[i] = -1;
        }
        attend(s, sub);
    }
    proc_sub_close(sub);
    session_free(s);
    atomic_fetch_sub(&sudo->sessions, 1);
    return NULL;
}

static void knock(struct loop_source *src, uint32_t events)
{
    struct sudo *sudo = (struct sudo *)(void *)src; /* src is its first member */
    struct timeval patience = { .tv_sec = REQUEST_SECONDS };
    pthread_attr_t attr;
    pthread_t thread;

    (void)events;
    int sock = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
    if (sock < 0)
        return;
    struct session *s = calloc(1, sizeof *s);
    if (!s || atomic_fetch_add(&sudo->sessions, 1) >= SUDO_SESSIONS_MAX) {
        if (s)
            atomic_fetch_sub(&sudo->sessions, 1);
        free(s);
        (void)close(sock);
        return;
    }
    *s = (struct session){
        .sudo = sudo, .app = sudo->app, .sock = sock, .fd = { -1, -1, -1, -1 }
    };
    (void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, session_main, s) != 0) {
        session_free(s);
        atomic_fetch_sub(&sudo->sessions, 1);
    }
    (void)pthread_attr_destroy(&attr);
}

int sudo_start(struct sudo **out, struct app *a, struct err *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct sudo *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(e, ENOMEM, "sudo");
    s->app = a;
    s->src = (struct loop_source){ .fd = -1, .ready = knock };
    int rc = paths_join(a->run_dir, str_from(SUDO_SOCKET), s->path);
    if (rc == 0)
        rc = str_copy(str_from(s->path), at.sun_path, sizeof at.sun_path);
    if (rc == 0) {
        (void)unlink(s->path); /* of an envd before us */
        s->src.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->src.fd < 0 || bind(s->src.fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
            chmod(s->path, 0666) < 0 || listen(s->src.fd, 64) < 0)
            rc = -errno;
    }
    if (rc == 0)
        rc = loop_add(&a->loop, &s->src);
    if (rc < 0) {
        (void)err_set(e, -rc, "listen on '%s'", s->path);
        if (s->src.fd >= 0)
            (void)close(s->src.fd);
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void sudo_stop(struct sudo *s)
{
    if (!s)
        return;
    loop_del(&s->app->loop, &s->src);
    (void)close(s->src.fd);
    (void)unlink(s->path);
    if (atomic_load(&s->sessions) == 0)
        free(s);
}
