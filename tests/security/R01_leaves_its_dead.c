// SPDX-License-Identifier: Apache-2.0
// attack: children that end and are never waited for
// args outside: 3000
// args inside: 100000
// inside: refused EAGAIN after \d{2,4}
// where: apart
#include "probe.h"

int main(int argc, char **argv)
{
    long most = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    here();
    for (long n = 0; n < most; n++) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(0);
        if (pid < 0)
            return say("refused %s after %ld", strerrorname_np(errno), n);
    }
    return say("got through");
}
