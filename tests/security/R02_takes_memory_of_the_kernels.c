// SPDX-License-Identifier: Apache-2.0
// attack: take memory that no process has: shared segments, files of a tmpfs, page tables, pipes, sockets, locked pages
// args outside: 64
// args inside: 100000
// control: segments got through, tmpfs got through, tables got through, pipes got through, sockets got through, locked .*
// inside: segments killed, tmpfs ENOSPC, tables killed, pipes (killed|EMFILE), sockets (killed|EMFILE), locked (ENOMEM|EPERM)
// where: apart, small
#include "probe.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char block[1 << 20];

// Each takes `mib` MiB, or what is refused ends it: the errno is the exit status.
static int segments(long mib)
{
    for (long i = 0; i < mib; i += 16) {
        int id = shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0600);
        char *p = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
        if (p == (char *)-1 || shmctl(id, IPC_RMID, NULL) < 0)
            return errno;
        memset(p, 1, 16 << 20);
    }
    return 0;
}
static int tmpfs(long mib)
{
    int fd = open("/dev/shm", O_TMPFILE | O_WRONLY, 0600);
    if (fd < 0)
        return errno;
    for (long i = 0; i < mib; i++)
        if (write(fd, block, sizeof block) < 0)
            return errno;
    return 0;
}
static int tables(long mib)
{
    for (long i = 0; i < mib; i++) { /* 256 tables of 4 KiB, a page in each */
        size_t size = (size_t)256 * (2 << 20);
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return errno;
        madvise(p, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += 2 << 20)
            p[at] = 1;
    }
    return 0;
}
static int pipes(long mib)
{
    for (long i = 0; i < mib; i++) {
        int fd[2];
        if (pipe2(fd, O_NONBLOCK) < 0)
            return errno;
        fcntl(fd[0], F_SETPIPE_SZ, sizeof block);
        while (write(fd[1], block, sizeof block) > 0)
            continue;
    }
    return 0;
}
static int sockets(long mib)
{
    for (long i = 0; i < mib; i++) {
        int fd[2], most = 1 << 20;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) < 0)
            return errno;
        setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
        while (write(fd[0], block, sizeof block) > 0)
            continue;
    }
    return 0;
}
static int locked(long mib)
{
    size_t size = (size_t)mib << 20;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED || mlock(p, size) < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*take)(long);
    } way[] = { { "segments", segments }, { "tmpfs", tmpfs },     { "tables", tables },
                { "pipes", pipes },       { "sockets", sockets }, { "locked", locked } };
    char line[512] = "";
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    memset(block, 1, sizeof block);
    here();
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        int state = 0;
        pid_t child = fork();
        must(child >= 0, "fork");
        if (child == 0) {
            int fd = open("/proc/self/oom_score_adj",
                          O_WRONLY); // first to be killed, before this one
            if (fd < 0 || write(fd, "1000", 4) != 4)
                _exit(200);
            _exit(way[i].take(mib));
        }
        waitpid(child, &state, 0);
        size_t n = strlen(line);
        snprintf(line + n, sizeof line - n, "%s%s %s", i ? ", " : "", way[i].name,
                 WIFSIGNALED(state)   ? WTERMSIG(state) == SIGKILL ? "killed" : "another signal"
                 : WEXITSTATUS(state) ? strerrorname_np(WEXITSTATUS(state))
                                      : "got through");
    }
    return say("%s", line);
}
