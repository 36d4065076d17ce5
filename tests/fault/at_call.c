/* SPDX-License-Identifier: Apache-2.0 */
/* at_call PID self|children count|kill|fail N ERRNO: follows the system calls of a running process (all its threads), or of what it
 * clones until that executes envd, and kills the caller as it enters the N-th, or lets the N-th fail with ERRNO without being made (close excepted).
 * Prints "ready" when it follows, "hit NUMBER NAME" when it has struck, and at SIGTERM "count N", what it has counted. Unlike
 * strace(1) it counts over all calls and threads, and goes on to count afterwards. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS_MAX 4096
#define OPTIONS                                                                                \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
     PTRACE_O_TRACEEXEC)

static volatile sig_atomic_t stop; /* set by the handler only */

struct task {
    pid_t tid, tgid;
    bool fails;             /* the call that it is in is the one to fail */
    unsigned long long rdi; /* as it was */
};

struct run {
    pid_t target;
    bool children;
    char what; /* 'c'ount, 'k'ill, 'f'ail */
    unsigned long at, counted;
    long error;
    struct task task[TASKS_MAX];
    size_t n;
};

static void on_term(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static long number_in(const char *path, const char *key)
{
    char line[256];
    long v = -1;
    FILE *f = fopen(path, "re");

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            v = strtol(line + strlen(key), NULL, 10);
    if (f)
        (void)fclose(f);
    return v;
}

static struct task *find(struct run *r, pid_t tid)
{
    char path[64];

    for (size_t i = 0; i < r->n; i++)
        if (r->task[i].tid == tid)
            return &r->task[i];
    if (r->n == TASKS_MAX)
        return NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    r->task[r->n] = (struct task){ tid, (pid_t)number_in(path, "Tgid:"), false, 0 };
    return &r->task[r->n++];
}

static void forget(struct run *r, pid_t tid)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->task[i].tid == tid)
            r->task[i--] = r->task[--r->n];
}

static bool is_envd(pid_t tid)
{
    char path[64], name[32] = "";

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)tid);
    FILE *f = fopen(path, "re");
    if (f) {
        (void)!fgets(name, sizeof name, f); /* left empty then */
        (void)fclose(f);
    }
    return strcmp(name, "envd\n") == 0;
}

static void on_entry(struct run *r, struct task *t, long number)
{
    char path[64];
    struct user_regs_struct regs;

    if ((t->tgid != r->target) != r->children || ++r->counted != r->at)
        return;
    if (r->what == 'f' && number == SYS_close)
        return; /* it closes whatever it answers; one that is not made would be a leak of ours */
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)t->tid);
    FILE *f = fopen(path, "re");
    char name[32] = "?\n";
    if (f) {
        (void)!fgets(name, sizeof name, f); /* "?" then */
        (void)fclose(f);
    }
    if (r->what == 'k') {
        (void)kill(t->tgid, SIGKILL);
    } else if (r->what == 'f' && ptrace(PTRACE_GETREGS, t->tid, 0, &regs) == 0) {
        /* A call that every filter allows, and that does nothing: close(-1). */
        t->rdi = regs.rdi;
        regs.orig_rax = SYS_close;
        regs.rdi = (unsigned long long)-1;
        t->fails = ptrace(PTRACE_SETREGS, t->tid, 0, &regs) == 0;
    }
    (void)printf("hit %ld %s", number, name);
    (void)fflush(stdout);
}

static void on_exit_of_call(struct run *r, struct task *t)
{
    struct user_regs_struct regs;

    if (!t->fails || ptrace(PTRACE_GETREGS, t->tid, 0, &regs) < 0)
        return;
    t->fails = false;
    regs.rax = (unsigned long long)-r->error;
    regs.rdi = t->rdi;
    (void)ptrace(PTRACE_SETREGS, t->tid, 0, &regs);
}

/* A stop of a call. */
static void on_call(struct run *r, struct task *t)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        on_entry(r, t, (long)info.entry.nr);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        on_exit_of_call(r, t);
}

static void on_stop(struct run *r, pid_t tid, int status)
{
    struct task *t = find(r, tid);
    int signal_number = WSTOPSIG(status), event = status >> 16, pass = 0;

    if (!t)
        return;
    if (signal_number == (SIGTRAP | 0x80)) {
        on_call(r, t);
    } else if (event == PTRACE_EVENT_EXEC && is_envd(tid)) {
        (void)ptrace(PTRACE_DETACH, tid, 0, 0);
        forget(r, tid);
        return;
    } else if (event == 0) {
        pass = signal_number;
    }
    (void)ptrace(PTRACE_SYSCALL, tid, 0, (long)pass);
}

/* Threads that are born while we come are followed from their birth on by those we have. */
static int seize(struct run *r)
{
    char path[64];
    int n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)r->target);
    DIR *d = opendir(path);
    for (const struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
        pid_t tid = (pid_t)strtol(f->d_name, NULL, 10);
        if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, 0, (long)OPTIONS) < 0 ||
            ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0)
            continue;
        (void)find(r, tid);
        n++;
    }
    if (d)
        (void)closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    static struct run r;                               /* too large for the stack */
    struct sigaction term = { .sa_handler = on_term }; /* without SA_RESTART: waitpid ends */

    if (argc != 6) {
        (void)fprintf(stderr, "usage: at_call PID self|children count|kill|fail N ERRNO\n");
        return 2;
    }
    r.target = (pid_t)strtol(argv[1], NULL, 10);
    r.children = strcmp(argv[2], "children") == 0;
    r.what = argv[3][0];
    r.at = strtoul(argv[4], NULL, 10);
    r.error = strtol(argv[5], NULL, 10);
    (void)sigaction(SIGTERM, &term, NULL);
    if (seize(&r) == 0) {
        perror("at_call: seize");
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (!stop) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno != EINTR)
            break; /* nobody is left */
        if (tid > 0 && WIFSTOPPED(status))
            on_stop(&r, tid, status);
        else if (tid > 0)
            forget(&r, tid);
    }
    (void)printf("count %lu\n", r.counted);
    return 0; /* the kernel lets go of all whom we follow */
}
