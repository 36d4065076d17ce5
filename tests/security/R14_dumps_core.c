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
    struct rlimit now = { 0 };
    int rc = setrlimit(RLIMIT_CORE, &most), error = errno, state = 0;
    // 0 would still start the host's program if core_pattern were a pipe; only 1 does not (core(5)).
    must(getrlimit(RLIMIT_CORE, &now) == 0, "read the limit");
    if (rc != 0 && (now.rlim_max != 1 || now.rlim_cur != 1))
        return say("refused, but with a limit of %lu", (unsigned long)now.rlim_max);
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
