// SPDX-License-Identifier: Apache-2.0
// attack: trace a process, and rewrite its system calls after the filter has looked
// inside: refused EPERM
#include "probe.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int main(void)
{
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0)
        for (;;)
            pause();
    here();
    int rc = outcome(ptrace(PTRACE_SEIZE, child, 0, 0));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return rc;
}
