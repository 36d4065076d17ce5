// SPDX-License-Identifier: Apache-2.0
// attack: touch more memory than there is
// args outside: 640
// args inside: 200000
// inside: killed SIGKILL
// where: apart, small
#include "probe.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    here();
    for (long i = 0; i < mib; i += 16) {
        char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (p == MAP_FAILED)
            return outcome(-1);
    }
    return say("got through");
}
