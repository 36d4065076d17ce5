// SPDX-License-Identifier: Apache-2.0
// attack: the same by clone3, whose flags lie in memory where no filter can look
// inside: refused ENOSYS
#include "probe.h"
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(void)
{
    struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
    here();
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    int rc = outcome(pid);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return rc;
}
