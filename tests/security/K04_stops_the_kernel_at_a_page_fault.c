// SPDX-License-Identifier: Apache-2.0
// attack: hold a kernel copy at a page of mine for as long as I like (userfaultfd)
// inside: refused EPERM
#include "probe.h"
#include <fcntl.h>
#include <sys/syscall.h>

int main(void)
{
    here();
    return outcome(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */));
}
