// SPDX-License-Identifier: Apache-2.0
// attack: tell the kernel to kill anybody but me when memory ends
// (Root of a host that lacks CAP_SYS_RESOURCE cannot do it either.)
// control: got through
// inside: refused EACCES for both
// or outside: refused EACCES for both
// then inside: refused EACCES for both
#include "probe.h"
#include <fcntl.h>

static int set(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return -1;
    int rc = write(fd, value, strlen(value)) < 0 ? -1 : 0;
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

int main(void)
{
    here();
    if (set("/proc/self/oom_score_adj", "-1000") == 0)
        return say("got through");
    if (errno != EACCES)
        return outcome(-1);
    if (set("/proc/1/oom_score_adj", "-1000") == 0)
        return say("got through for process 1");
    return errno == EACCES ? say("refused EACCES for both") : outcome(-1);
}
