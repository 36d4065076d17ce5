// SPDX-License-Identifier: Apache-2.0
// attack: write another process's memory, while it waits at a page of mine
// inside: refused EPERM
#include "probe.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

int main(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED, "map a page");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0)
        for (;;)
            pause();
    char text[] = "mine";
    struct iovec local = { text, sizeof text }, remote = { page, sizeof text };
    here();
    int rc = outcome(process_vm_writev(child, &local, 1, &remote, 1, 0));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return rc;
}
