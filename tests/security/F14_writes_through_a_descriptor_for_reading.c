// SPDX-License-Identifier: Apache-2.0
// attack: open a file that I may read only, and open it again for writing through /proc/self/fd; give a nameless file such a name
// control: got through to /etc/passwd.*
// as: user
// inside: refused EACCES, EACCES, EACCES and EACCES
#include "probe.h"
#include <fcntl.h>

static int again(const char *path, int flags)
{
    char at[64];
    int fd = open(path, flags);
    must(fd >= 0, "open it to read");
    snprintf(at, sizeof at, "/proc/self/fd/%d", fd);
    return open(at, O_WRONLY | O_APPEND);
}

int main(void)
{
    int error[4];
    char at[64];
    here();
    if (again("/etc/passwd", O_RDONLY) >= 0)
        return say("got through to /etc/passwd");
    error[0] = errno;
    if (again("/etc/passwd", O_PATH) >= 0)
        return say("got through to /etc/passwd by a path descriptor");
    error[1] = errno;
    if (again("/proc/sys/kernel/core_pattern", O_RDONLY) >= 0)
        return say("got through to core_pattern");
    error[2] = errno == EROFS ? EACCES : errno;
    int nameless = open("/tmp", O_TMPFILE | O_WRONLY, 0666);
    must(nameless >= 0, "make a nameless file");
    snprintf(at, sizeof at, "/proc/self/fd/%d", nameless);
    if (linkat(AT_FDCWD, at, AT_FDCWD, "/etc/mine", AT_SYMLINK_FOLLOW) == 0)
        return say("got through to a name in /etc");
    error[3] = errno;
    return say("refused %s, %s, %s and %s", strerrorname_np(error[0]),
               strerrorname_np(error[1]), strerrorname_np(error[2]), strerrorname_np(error[3]));
}
