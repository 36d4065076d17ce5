/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "envd/paths.h"
#include "envd/sudo.h"
#include "envd/sudo_options.h"
#include "envd/sudo_proto.h"

#define FAILED   1 /* exit status for our own failures, as sudo's */
#define IO_CHUNK 16384
#define SOCKET_ENV                                                                             \
    "FIREBREAK_SUDO_SOCKET" /* for tests; whoever sets it gains nothing: it is their own process */

struct asking {
    int sock;
    int signals; /* signalfd */
    int master;  /* of the command's terminal, or -1 */
    bool is_raw;
    struct termios before;
};

static int complain(const char *text)
{
    (void)fprintf(stderr, "sudo: %s\n", text);
    return FAILED;
}

static int connect_to_envd(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    const char *path = getenv(SOCKET_ENV);

    if (str_copy(str_from(path ? path : SUDO_RUN_DIR "/" SUDO_SOCKET), at.sun_path,
                 sizeof at.sun_path) < 0)
        return -ENAMETOOLONG;
    AUTO_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (const struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    return fd_steal(&sock);
}

/* A terminal for the command only if it is ours to switch to raw: in the background that would stop us. */
static bool has_terminal(struct sudo_request *q)
{
    struct winsize size = { .ws_col = 80, .ws_row = 24 };

    if (!isatty(0) || !isatty(1) || tcgetpgrp(0) != getpgrp())
        return false;
    (void)ioctl(0, TIOCGWINSZ, &size);
    q->cols = size.ws_col;
    q->rows = size.ws_row;
    return true;
}

static void add_strings(struct buf *out, char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add(out, list[i], strlen(list[i]) + 1);
}

static int send_all(int sock, struct str s)
{
    while (s.n > 0) {
        ssize_t n = send(sock, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        s = str_sub(s, (size_t)n, s.n);
    }
    return 0;
}

/* The head with our descriptors. 0, 1 and 2 that are closed are replaced, so that there are always four. */
static int send_head(int sock, const struct sudo_request *q)
{
    AUTO_CLOSE int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fds[SUDO_FDS] = { 0, 1, 2, cwd >= 0 ? cwd : root };
    struct sudo_request copy = *q;
    struct iovec iov = { &copy, sizeof copy };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof fds)];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0)
            fds[i] = null;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    ssize_t n = sendmsg(sock, &mh, MSG_NOSIGNAL);
    return n == (ssize_t)sizeof copy ? 0 : n < 0 ? -errno : -EIO;
}

static int send_request(int sock, const struct sudo_options *o)
{
    AUTO_BUF struct buf strings = BUF_INIT(SUDO_BYTES_MAX);
    struct sudo_request q = { .version = SUDO_VERSION, .flags = o->flags };
    size_t n_env = 0;

    while (environ && environ[n_env])
        n_env++;
    if (has_terminal(&q))
        q.flags |= SUDO_WANT_TERMINAL;
    add_strings(&strings, o->args, o->n_args);
    add_strings(&strings, o->vars, o->n_vars);
    add_strings(&strings, environ, n_env);
    if (!buf_ok(&strings) || o->n_args > SUDO_STRINGS_MAX || o->n_vars > SUDO_STRINGS_MAX ||
        n_env > SUDO_STRINGS_MAX)
        return -E2BIG;
    q.n_args = (uint32_t)o->n_args; /* in range: just checked */
    q.n_vars = (uint32_t)o->n_vars;
    q.n_env = (uint32_t)n_env;
    q.bytes = (uint32_t)strings.n;
    int rc = str_copy(str_from(o->user), q.user, sizeof q.user);
    if (rc == 0)
        rc = send_head(sock, &q);
    return rc == 0 ? send_all(sock, buf_str(&strings)) : rc;
}

/* --- while the command runs --- */

static int block_signals(void)
{
    static const int carried[] = {
        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2
    };
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(carried); i++)
        (void)sigaddset(&set, carried[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void carry_signal(struct asking *a)
{
    struct signalfd_siginfo info;
    struct winsize size;

    if (read(a->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGWINCH && a->master >= 0) {
        if (ioctl(0, TIOCGWINSZ, &size) == 0)
            (void)ioctl(a->master, TIOCSWINSZ, &size);
        return;
    }
    struct sudo_frame f = { SUDO_SIGNAL, (int32_t)info.ssi_signo };
    (void)!send(a->sock, &f, sizeof f,
                MSG_NOSIGNAL); /* it has ended: its status is on the way */
}

static void make_raw(struct asking *a)
{
    struct termios raw;

    if (tcgetattr(0, &a->before) < 0)
        return;
    raw = a->before;
    cfmakeraw(&raw);
    a->is_raw = tcsetattr(0, TCSADRAIN, &raw) == 0;
}

static void restore(struct asking *a)
{
    if (a->is_raw)
        (void)tcsetattr(0, TCSADRAIN, &a->before);
    a->is_raw = false;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            (void)poll(&wait, 1, 1000);
            continue;
        }
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* False at the end of `from`, or if `to` takes no more. */
static bool pump(int from, int to)
{
    char bytes[IO_CHUNK];
    ssize_t n = read(from, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    return n > 0 && write_all(to, bytes, (size_t)n);
}

static int exit_status(struct asking *a, int32_t wait_status)
{
    int status = wait_status;

    if (a->master >= 0) /* what it wrote last */
        while (poll(&(struct pollfd){ .fd = a->master, .events = POLLIN }, 1, 0) > 0 &&
               pump(a->master, 1))
            ;
    restore(a);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int show_error(struct asking *a, int32_t length)
{
    char text[SUDO_TEXT_MAX + 1];
    size_t n = length > 0 && length < SUDO_TEXT_MAX ? (size_t)length : 0;

    restore(a);
    if (n > 0 && recv(a->sock, text, n, MSG_WAITALL) != (ssize_t)n)
        n = 0;
    text[n] = '\0';
    return complain(n ? text : "refused");
}

/* A frame of envd, and the descriptor that comes with SUDO_TERMINAL. */
static bool recv_frame(struct asking *a, struct sudo_frame *f)
{
    struct iovec iov = { f, sizeof *f };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };

    if (recvmsg(a->sock, &mh, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)sizeof *f)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && a->master < 0)
        memcpy(&a->master, CMSG_DATA(c), sizeof a->master);
    return true;
}

enum { SOCK, SIGNALS, THEIRS, OURS, N_WATCHED };

static void carry(struct asking *a, struct pollfd fds[N_WATCHED])
{
    if (fds[SIGNALS].revents)
        carry_signal(a);
    if (fds[THEIRS].revents && !pump(a->master, 1))
        fds[THEIRS].fd = -1;
    if (fds[OURS].revents && !pump(0, a->master))
        fds[OURS].fd = -1;
}

/* True when it is over: *status is ours to exit with. */
static bool hear(struct asking *a, struct pollfd fds[N_WATCHED], int *status)
{
    struct sudo_frame f;

    if (!recv_frame(a, &f)) {
        restore(a);
        *status = complain("the sandbox's agent is gone");
        return true;
    }
    if (f.type == SUDO_STATUS)
        *status = exit_status(a, f.value);
    else if (f.type == SUDO_ERROR)
        *status = show_error(a, f.value);
    else if (f.type == SUDO_TERMINAL && a->master >= 0) {
        make_raw(a);
        fds[THEIRS].fd = a->master;
        fds[OURS].fd = 0;
    }
    return f.type != SUDO_TERMINAL;
}

static int attend(struct asking *a)
{
    struct pollfd fds[N_WATCHED] = { [SOCK] = { .fd = a->sock, .events = POLLIN },
                                     [SIGNALS] = { .fd = a->signals, .events = POLLIN },
                                     [THEIRS] = { .fd = -1, .events = POLLIN },
                                     [OURS] = { .fd = -1, .events = POLLIN } };
    int status = FAILED;

    for (;;) {
        if (poll(fds, N_WATCHED, -1) < 0)
            continue; /* EINTR: what we have to hear of comes through the signalfd */
        carry(a, fds);
        if (fds[SOCK].revents && hear(a, fds, &status))
            return status;
    }
}

static int run(const struct sudo_options *o)
{
    struct asking a = { .sock = connect_to_envd(), .signals = -1, .master = -1 };

    if (a.sock < 0)
        return complain("cannot reach the sandbox's agent");
    a.signals = block_signals();
    int rc = send_request(a.sock, o);
    if (rc == -E2BIG)
        return complain("the command and its environment are too long");
    if (rc < 0)
        return complain("cannot ask the sandbox's agent");
    return attend(&a);
}

int sudo_command(int argc, char **argv)
{
    struct sudo_options o;
    struct err e;

    if (sudo_options_parse(argc, argv, &o, &e) < 0)
        return complain(e.text);
    switch (o.mode) {
    case SUDO_VALIDATE: /* there is no password, so nothing to remember or to forget */
        return 0;
    case SUDO_LIST:
        (void)printf(
            "Members of the group sudo may run any command as any user, without a password.\n");
        return 0;
    case SUDO_PRINT_VERSION:
        (void)printf("sudo of Firebreak %s\n", FIREBREAK_VERSION);
        return 0;
    case SUDO_HELP:
        (void)printf("usage: sudo [-EHins] [-u user] [VAR=value] [command]\n       sudo -k | "
                     "-K | -l | -v | -V\n");
        return 0;
    case SUDO_RUN:
    default:
        return run(&o);
    }
}
