// SPDX-License-Identifier: Apache-2.0
// attack: take descriptors, pipes, polls, timers, watches, queues, semaphores, segments and terminals until there are none left for others
// args outside: 200
// args inside: 400000
// control: files got through, pipes got through, events got through, polls got through, timers got through, .*passed got through
// inside: files EMFILE, pipes EMFILE, events EMFILE, polls EMFILE, timers (EAGAIN|ENOMEM), watches (EMFILE|ENOSPC), queues (EMFILE|ENOSPC|ENFILE), messages ENOSPC, semaphores ENOSPC, segments ENOSPC, terminals (ENOSPC|EMFILE|EAGAIN), passed (ETOOMANYREFS|EMFILE|EAGAIN)
// where: apart
#include "probe.h"
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

// Each takes one more, the n-th; below 0 with errno is the end.
static int file(int n)
{
    (void)n;
    return open("/dev/null", O_RDONLY);
}
static int a_pipe(int n)
{
    int fd[2];
    (void)n;
    return pipe(fd);
}
static int event(int n)
{
    return eventfd((unsigned)n, 0);
}
static int poll_set(int n)
{
    (void)n;
    return epoll_create1(0);
}
static int timer(int n)
{
    struct sigevent none = { .sigev_notify = SIGEV_NONE };
    timer_t id;
    (void)n;
    return timer_create(CLOCK_MONOTONIC, &none, &id);
}
static int watch(int n)
{
    (void)n;
    int fd = inotify_init1(0);
    return fd < 0 ? -1 : inotify_add_watch(fd, "/", IN_CREATE);
}
static int queue(int n)
{
    char name[32];
    snprintf(name, sizeof name, "/probe-%d-%d", (int)getpid(), n);
    mqd_t q = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
    if (q != (mqd_t)-1)
        mq_unlink(name);
    return q == (mqd_t)-1 ? -1 : 0;
}
static int ids[40000], n_ids;
static int keep(int id)
{
    if (id >= 0 && n_ids < 40000)
        ids[n_ids++] = id;
    return id;
}
static int messages(int n)
{
    (void)n;
    return keep(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
}
static int semaphore(int n)
{
    (void)n;
    return keep(semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
}
static int segment(int n)
{
    (void)n;
    return keep(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
}
static int terminal(int n)
{
    (void)n;
    return posix_openpt(O_RDWR | O_NOCTTY);
}
// Descriptors under way between sockets, which no table of a process counts.
static int passed(int n)
{
    static int pair[2] = { -1, -1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(100 * sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec one = { "x", 1 };
    struct msghdr m = { .msg_iov = &one,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    if (n % 4 == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
        return -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(100 * sizeof(int));
    for (int i = 0; i < 100; i++)
        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &(int){ 0 }, sizeof(int));
    return (int)sendmsg(pair[0], &m, 0);
}

static int take(int (*one)(int), long most)
{
    for (int n = 0; n < most; n++)
        if (one(n) < 0)
            return errno;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*one)(int);
    } way[] = { { "files", file },       { "pipes", a_pipe },       { "events", event },
                { "polls", poll_set },   { "timers", timer },       { "watches", watch },
                { "queues", queue },     { "messages", messages },  { "semaphores", semaphore },
                { "segments", segment }, { "terminals", terminal }, { "passed", passed } };
    char line[700] = "";
    long most = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    here();
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        int state = 0;
        pid_t child = fork();
        must(child >= 0, "fork");
        if (child == 0) {
            int rc = take(way[i].one, most);
            for (int k = 0; k < n_ids; k++) {
                if (way[i].one == messages)
                    msgctl(ids[k], IPC_RMID, NULL);
                else if (way[i].one == semaphore)
                    semctl(ids[k], 0, IPC_RMID);
                else
                    shmctl(ids[k], IPC_RMID, NULL);
            }
            _exit(rc);
        }
        waitpid(child, &state, 0);
        size_t n = strlen(line);
        snprintf(line + n, sizeof line - n, "%s%s %s", i ? ", " : "", way[i].name,
                 WIFSIGNALED(state)   ? "killed"
                 : WEXITSTATUS(state) ? strerrorname_np(WEXITSTATUS(state))
                                      : "got through");
    }
    return say("%s", line);
}
