// SPDX-License-Identifier: Apache-2.0
// attack: signal a process of the host by sigqueue, tgkill, pidfd, the owner of a socket, or a timer
// args outside: {canary_pid}
// args inside: {canary_pid}
// control: sigqueue got through, tgkill got through, pidfd got through, owner got through, timer .*
// inside: sigqueue ESRCH, tgkill ESRCH, pidfd ESRCH, owner ESRCH, timer EINVAL
#include "probe.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

static char line[256];

static void one(const char *name, long rc)
{
    size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, "%s%s %s", n ? ", " : "", name,
             rc >= 0 ? "got through" : strerrorname_np(errno));
}

int main(int argc, char **argv)
{
    must(argc == 2, "know the number");
    pid_t pid = (pid_t)strtol(argv[1], NULL, 10);
    struct sigevent to = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGCONT };
    to._sigev_un._tid = pid;
    timer_t timer;
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "make sockets");
    here();
    one("sigqueue", sigqueue(pid, SIGCONT, (union sigval){ 0 }));
    one("tgkill", syscall(SYS_tgkill, pid, pid, SIGCONT));
    one("pidfd", syscall(SYS_pidfd_open, pid, 0));
    one("owner", fcntl(pair[0], F_SETOWN, pid));
    one("timer", timer_create(CLOCK_MONOTONIC, &to, &timer));
    return say("%s", line);
}
