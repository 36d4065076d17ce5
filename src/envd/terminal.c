/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"

int terminal_open(uint16_t cols, uint16_t rows, uid_t owner, int *master, int *slave)
{
    struct winsize size = { .ws_col = cols, .ws_row = rows };
    int locked = 0;
    AUTO_CLOSE int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

    if (m < 0 || ioctl(m, TIOCSPTLCK, &locked) < 0 || ioctl(m, TIOCSWINSZ, &size) < 0)
        return -errno;
    /* By descriptor: /dev/pts may be another instance's, or not be there. */
    AUTO_CLOSE int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s < 0)
        return -errno;
    if (owner != (uid_t)-1 &&
        fchown(s, owner, (gid_t)-1) < 0) /* its programs may open it by name */
        return -errno;
    *master = fd_steal(&m);
    *slave = fd_steal(&s);
    return 0;
}
