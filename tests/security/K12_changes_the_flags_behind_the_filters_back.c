// SPDX-License-Identifier: Apache-2.0
// attack: change the flags of clone3 from a second thread between the filter's look and the kernel's
// outside: sh -c 'ulimit -c 0; exec "$@"' sh
// control: got through after \d+
// inside: refused ENOSYS each of 200000 times
#include "probe.h"
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct clone_args args;
static atomic_int over;

static void *flip(void *unused)
{
    (void)unused;
    while (!over) {
        *(volatile __u64 *)&args.flags = CLONE_NEWUSER;
        *(volatile __u64 *)&args.flags = 0;
    }
    return NULL;
}

static ino_t user_namespace(void)
{
    char name[64] = "";
    must(readlink("/proc/self/ns/user", name, sizeof name - 1) > 0, "read a link");
    return strtoul(name + strcspn(name, "0123456789"), NULL, 10);
}

int main(void)
{
    pthread_t other;
    ino_t mine = user_namespace();
    must(pthread_create(&other, NULL, flip, NULL) == 0, "start a thread");
    args.exit_signal = SIGCHLD;
    here();
    for (int n = 1; n <= 200000; n++) {
        long pid = syscall(SYS_clone3, &args, sizeof args);
        int state = 0;
        if (pid == 0)
            _exit(user_namespace() != mine);
        if (pid < 0 && errno != ENOSYS)
            return outcome(-1);
        if (pid > 0 && waitpid((pid_t)pid, &state, 0) > 0 && WEXITSTATUS(state) == 1)
            return say("got through after %d", n);
    }
    over = 1;
    pthread_join(other, NULL);
    return say("refused ENOSYS each of 200000 times");
}
