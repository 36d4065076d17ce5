// SPDX-License-Identifier: Apache-2.0
// attack: crash with a core dump, which the host's core_pattern may hand to a program of the host
// inside: refused EPERM, no core
#include "probe.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

int main(void)
{
    struct rlimit most = { 1 << 20, RLIM_INFINITY };
    char dir[] = "core-XXXXXX";
    must(mkdtemp(dir) != NULL && chdir(dir) == 0, "make a directory");
    here();
    int rc = setrlimit(RLIMIT_CORE, &most), error = errno, state = 0;
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0)
        abort();
    waitpid(child, &state, 0);
    if (rc == 0)
        return say("got through");
    return say("refused %s, %s", strerrorname_np(error),
               WCOREDUMP(state) ? "but a core" : "no core");
}
