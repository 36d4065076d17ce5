// SPDX-License-Identifier: Apache-2.0
// attack: call by int 0x80, whose numbers mean other calls than those that the filter lists (20 is getpid there, writev here;
// a machine whose kernel has that door shut answers with SIGSEGV, inside as outside)
// inside: killed SIGSYS
// or outside: killed SIGSEGV
// then inside: killed SIGSEGV
#include "probe.h"

int main(void)
{
    long pid;
    here();
    __asm__ volatile("int $0x80" : "=a"(pid) : "0"(20L) : "memory", "r8", "r9", "r10", "r11");
    return pid == getpid() ? say("got through") : say("int 0x80 says %ld", pid);
}
