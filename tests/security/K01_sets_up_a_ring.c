// SPDX-License-Identifier: Apache-2.0
// attack: make system calls through io_uring, past the filter
// inside: refused EPERM
#include "probe.h"
#include <linux/io_uring.h>
#include <sys/syscall.h>

int main(void)
{
    struct io_uring_params params = { 0 };
    here();
    return outcome(syscall(SYS_io_uring_setup, 8, &params));
}
