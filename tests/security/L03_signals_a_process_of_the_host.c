// SPDX-License-Identifier: Apache-2.0
// attack: send a signal to a process of the host by its number there
// args outside: {canary_pid}
// args inside: {canary_pid}
// inside: refused ESRCH
#include "probe.h"
#include <signal.h>

int main(int argc, char **argv)
{
    must(argc == 2, "know the number");
    here();
    return outcome(kill((pid_t)strtol(argv[1], NULL, 10), SIGCONT));
}
