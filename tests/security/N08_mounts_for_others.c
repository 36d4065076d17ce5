// SPDX-License-Identifier: Apache-2.0
// attack: mount something that shows outside too: by a bind, by making the tree shared, by moving a mount
// outside: unshare --mount
// control: got through to 1: shared
// inside: refused EPERM for all 4
#include "probe.h"
#include <sched.h>
#include <sys/mount.h>

int main(void)
{
    int refused = 0;
    here();
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0)
        return say("got through to 1: shared");
    refused += errno == EPERM;
    if (mount("/etc", "/tmp", NULL, MS_BIND, NULL) == 0)
        return say("got through to 2: bind");
    refused += errno == EPERM;
    if (mount("/dev/shm", "/tmp", NULL, MS_MOVE, NULL) == 0)
        return say("got through to 3: move");
    refused += errno == EPERM;
    if (unshare(CLONE_NEWNS) == 0)
        return say("got through to 4: an own tree");
    refused += errno == EPERM;
    return say("refused EPERM for all %d", refused);
}
