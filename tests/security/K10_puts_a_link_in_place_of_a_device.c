// SPDX-License-Identifier: Apache-2.0
// attack: replace the file that hides parts of proc, so that the next mask shows what I like
// outside: unshare --mount sh -c 'mount -t tmpfs none /dev && touch /dev/null /dev/zero && exec "$@"' sh
// inside: refused EROFS for all 4
#include "probe.h"
#include <sys/stat.h>

int main(void)
{
    int refused = 0;
    here();
    if (unlink("/dev/null") == 0 && symlink("/proc/sys/kernel/core_pattern", "/dev/null") == 0)
        return say("got through");
    refused += errno == EROFS || errno == EBUSY;
    if (rename("/dev/zero", "/dev/null") == 0)
        return say("got through by rename");
    refused += errno == EROFS || errno == EBUSY;
    refused += symlink("/etc", "/dev/console") < 0 && errno == EROFS;
    refused += mkdir("/dev/mine", 0700) < 0 && errno == EROFS;
    return say("refused EROFS for all %d", refused);
}
