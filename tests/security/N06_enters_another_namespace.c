// SPDX-License-Identifier: Apache-2.0
// attack: enter a namespace through a descriptor from proc
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <sched.h>

int main(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY);
    must(fd >= 0, "open a namespace");
    here();
    return outcome(setns(fd, CLONE_NEWNET));
}
