// SPDX-License-Identifier: Apache-2.0
// attack: a new namespace of each kind, each alone, and each behind a user namespace
// outside: unshare --mount
// control: got through to .*
// inside: refused EPERM for all 16
#include "probe.h"
#include <sched.h>
#include <sys/wait.h>

int main(void)
{
    static const int kind[] = { CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,    CLONE_NEWNET,
                                CLONE_NEWPID, 0x80,         CLONE_NEWCGROUP, CLONE_NEWUSER };
    int refused = 0;
    here();
    for (int i = 0; i < 8; i++)
        for (int user = 0; user < 2; user++) {
            int state = 0;
            pid_t child = fork();
            must(child >= 0, "fork");
            if (child == 0)
                _exit(unshare(kind[i] | (user ? CLONE_NEWUSER : 0)) == 0 ? 0 : errno);
            waitpid(child, &state, 0);
            if (WEXITSTATUS(state) == 0)
                return say("got through to %#x", kind[i]);
            refused += WEXITSTATUS(state) == EPERM;
        }
    return say("refused EPERM for all %d", refused);
}
