// SPDX-License-Identifier: Apache-2.0
// attack: threads instead of processes
// args outside: 3000
// args inside: 100000
// inside: refused EAGAIN after \d{2,4}
// where: apart
#include "probe.h"
#include <pthread.h>

static void *wait_for_ever(void *unused)
{
    while (!unused)
        pause();
    return NULL;
}

int main(int argc, char **argv)
{
    long most = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    pthread_attr_t small;
    must(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 65536) == 0,
         "make small stacks");
    here();
    for (long n = 0; n < most; n++) {
        pthread_t t;
        errno = pthread_create(&t, &small, wait_for_ever, NULL);
        if (errno)
            return say("refused %s after %ld", strerrorname_np(errno), n);
    }
    return say("got through");
}
