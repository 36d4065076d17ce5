// SPDX-License-Identifier: Apache-2.0
// attack: take back the points with which the kernel was told to kill me first, down to those of the host's own programs
// (The floor that stops it is set with CAP_SYS_RESOURCE: a host whose root lacks that has none.)
// control: got through to 0, and the host can set a floor
// inside: refused EACCES below 250
// or outside: got through to 0
// then inside: got through to 0
#include "probe.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>

static int set(const char *value)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
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
    static const char *const less[] = { "0", "-1", "100", "249" };
    must(set("900") == 0, "offer itself");
    must(set("250") == 0, "go back to what its agent has");
    here();
    for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
        if (set(less[i]) == 0)
            return say("got through to %s%s", less[i],
                       prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1
                           ? ", and the host can set a floor"
                           : "");
        if (errno != EACCES)
            return outcome(-1);
    }
    return say("refused EACCES below 250");
}
