/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "envd/paths.h"

#define CTL_FD     3
#define BUSY_TRIES 20
#define BUSY_NS    5000000 /* between them */

struct report {
    int step, error;
};

/* --- in the child: async-signal-safe calls only --- */

_Noreturn static void give_up(int fd, enum spawn_step step)
{
    struct report r = { (int)step, errno };
    (void)!write(fd, &r, sizeof r);
    _exit(127);
}

/* When memory runs out, the workload goes first and envd last. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* no /proc: nothing to gain */
    (void)!write(fd, "500", 3);
    (void)close(fd);
}

/* Every signal, those that glibc keeps to itself included: whoever started envd may have ignored one, and ignoring is inherited. */
static void default_signals(void)
{
    static const uint64_t
        dfl[4]; /* the kernel's struct sigaction: SIG_DFL, no flags, no restorer, empty mask */
    static const uint64_t none;

    for (int i = 1; i <= 64; i++)
        (void)syscall(SYS_rt_sigaction, i, dfl, NULL,
                      sizeof none); /* EINVAL for SIGKILL and SIGSTOP, which are as they are */
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

/* The system calls themselves: glibc's functions would signal threads that do not exist in this copy. */
static int become(const struct user *u)
{
    if (syscall(SYS_setgroups, u->n_groups, u->group) < 0 ||
        syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0 ||
        syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
        return -1;
    return 0;
}

static int enter(const struct spawn *s)
{
    if (s->cwd)
        return chdir(s->cwd);
    return s->cwd_fd >= 0 ? fchdir(s->cwd_fd) : chdir("/");
}

_Noreturn static void child(const struct spawn *s, int status_fd)
{
    static const struct timespec pause = { .tv_nsec = BUSY_NS };

    default_signals();
    (void)setsid(); /* cannot fail: a fresh child leads no group */
    offer_to_oom_killer();
    for (int i = 0; i < 3; i++)
        if (dup2(s->fd[i], i) < 0)
            give_up(status_fd, SPAWN_TERMINAL);
    if (s->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        give_up(status_fd, SPAWN_TERMINAL);
    if (s->ctl_fd > 0 && dup2(s->ctl_fd, CTL_FD) < 0)
        give_up(status_fd, SPAWN_TERMINAL);
    /* Every fd of ours is close-on-exec from birth; this is for one that a library forgot. */
    (void)syscall(SYS_close_range, s->ctl_fd > 0 ? CTL_FD + 1U : CTL_FD, ~0U,
                  CLOSE_RANGE_CLOEXEC);
    if (s->user && become(s->user) < 0)
        give_up(status_fd, SPAWN_IDENTITY);
    if (enter(s) < 0)
        give_up(status_fd, SPAWN_CHDIR);
    for (int i = 0; i < BUSY_TRIES; i++) {
        (void)execve(s->file, s->argv, s->envp);
        if (errno != ETXTBSY)
            break;
        /* It was just uploaded, and a sibling of ours between fork and exec still holds it open for writing. */
        (void)nanosleep(&pause, NULL);
    }
    give_up(status_fd, SPAWN_EXEC);
}

/* --- in envd --- */

pid_t spawn_fork(const struct spawn *s, int *status_fd)
{
    int pipe_fd[2];
    sigset_t all, before;

    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -errno;
    if (s->ctl_fd > 0 && pipe_fd[1] == CTL_FD) { /* the child would lose it */
        (void)close(pipe_fd[0]);
        (void)close(pipe_fd[1]);
        return -EBUSY;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all,
                          &before); /* no handler of ours runs in the child */
    pid_t pid = fork();
    if (pid == 0)
        child(s, pipe_fd[1]);
    int rc = pid < 0 ? -errno : 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)close(pipe_fd[1]);
    if (rc < 0) {
        (void)close(pipe_fd[0]);
        return rc;
    }
    *status_fd = pipe_fd[0];
    return pid;
}

int spawn_wait_exec(int status_fd, enum spawn_step *step)
{
    AUTO_CLOSE int fd = status_fd;
    struct report r = { 0 };
    ssize_t n;

    do
        n = read(fd, &r, sizeof r);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof r || r.error <= 0)
        return 0;
    *step = (enum spawn_step)r.step;
    return -r.error;
}

int spawn_find_program(const char *name, const char *path, char out[USER_PATH_MAX])
{
    struct str rest = str_from(path), dir;
    char one[PATHS_MAX];
    struct stat st;
    int why = -ENOENT;

    if (strchr(name, '/'))
        return str_copy(str_from(name), out, USER_PATH_MAX);
    if (name[0] == '\0')
        return -ENOENT;
    while (rest.n > 0) {
        (void)str_cut(rest, ':', &dir, &rest);
        if (dir.n == 0 ||
            dir.p[0] != '/') /* the working directory is no place to find programs */
            continue;
        if (str_copy(dir, one, sizeof one) < 0 || paths_join(one, str_from(name), one) < 0)
            continue;
        if (stat(one, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if ((st.st_mode & 0111) == 0) {
            why = -EACCES;
            continue;
        }
        return str_copy(str_from(one), out, USER_PATH_MAX);
    }
    return why;
}
