/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"

#define BACKOFF_FIRST_NS (200 * NS_PER_MS)
#define BACKOFF_MAX_NS   (10 * NS_PER_S)
#define HEALTHY_NS       NS_PER_S /* what is broken dies at once */
#define FIRST_PASSED_FD  3
#define LIFTED_FD        16 /* out of the way of the numbers that they get */

/* In the child, between fork and exec: async-signal-safe calls only. */

/* Returns how many there are now at 3, 4, ..., or -1. */
static int pass_fds(const struct child *c)
{
    int lifted[CHILD_FDS_MAX], n = 0;

    while (n < (int)CHILD_FDS_MAX && c->pass_fd[n] >= 0) {
        (void)lseek(c->pass_fd[n], 0,
                    SEEK_SET); /* a file that the child before this one has read */
        lifted[n] = fcntl(c->pass_fd[n], F_DUPFD, LIFTED_FD);
        if (lifted[n] < 0)
            return -1;
        n++;
    }
    for (int i = 0; i < n; i++)
        if (dup2(lifted[i], FIRST_PASSED_FD + i) < 0)
            return -1;
    return n;
}

static _Noreturn void become(const struct child *c, pid_t parent)
{
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", lang[] = "LANG=C.UTF-8";
    char *const environment[] = { path, lang, NULL }; /* nothing of ours leaks into them */
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent) /* it died before the line above: nobody would ever stop us */
        _exit(1);
    (void)setpgid(0, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(c->log_fd, STDOUT_FILENO) < 0 ||
        dup2(c->log_fd, STDERR_FILENO) < 0)
        _exit(126);
    int n = pass_fds(c);
    if (n < 0 || close_range((unsigned)(FIRST_PASSED_FD + n), ~0U, 0) < 0)
        _exit(126);
    (void)execve(c->argv[0], c->argv, environment);
    _exit(127);
}

int child_start(struct child *c, uint64_t now_ns, struct err *e)
{
    pid_t self = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return err_set(e, errno, "start %s", c->name);
    if (pid == 0)
        become(c, self);
    c->pid = pid;
    c->started_ns = now_ns;
    c->restart_ns = 0;
    return 0;
}

bool child_ended(struct child *c)
{
    if (c->pid == 0 || waitpid(c->pid, &c->exit_status, WNOHANG) != c->pid)
        return false;
    c->pid = 0;
    return true;
}

void child_stop(struct child *c, uint64_t limit_ns)
{
    uint64_t until_ns = clock_mono_ns() + limit_ns;

    c->restart_ns = 0;
    if (c->pid == 0)
        return;
    (void)kill(c->pid, SIGTERM); /* our own child, not yet reaped: the pid is still its */
    while (!child_ended(c)) {
        if (clock_mono_ns() > until_ns) {
            (void)kill(c->pid, SIGKILL);
            (void)waitpid(c->pid, &c->exit_status, 0);
            c->pid = 0;
            return;
        }
        (void)usleep(5000);
    }
}

void child_plan_restart(struct child *c, uint64_t now_ns)
{
    if (now_ns - c->started_ns > HEALTHY_NS || c->backoff_ns == 0)
        c->backoff_ns = BACKOFF_FIRST_NS;
    else
        c->backoff_ns = c->backoff_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : c->backoff_ns * 2;
    c->restart_ns = now_ns + c->backoff_ns;
}

void child_status_text(int status, char out[64])
{
    if (WIFSIGNALED(status))
        (void)snprintf(out, 64, "killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        (void)snprintf(out, 64, "the program could not be executed");
    else
        (void)snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
}
