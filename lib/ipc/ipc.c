/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "ipc/ids.h"

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
};

int ipc_send(int sock, const void *msg, size_t n, const int *fds, size_t n_fds)
{
    union control control = { 0 };
    struct iovec iov = { .iov_len = n };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t sent;

    if (n_fds > IPC_FDS_MAX)
        return -EINVAL;
    memcpy(&iov.iov_base, &msg, sizeof msg); /* sendmsg does not write through it */
    if (n_fds > 0) {
        mh.msg_control = control.bytes;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        ASSERT(c); /* the buffer has room for one */
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    do
        sent = sendmsg(sock, &mh, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return (size_t)sent == n ? 0 : -EPROTO;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
}

/* Collects every descriptor that arrived, wanted or not, so that none can leak. */
static size_t take_fds(struct msghdr *mh, int all[IPC_FDS_MAX])
{
    size_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < k; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < IPC_FDS_MAX)
                all[n++] = fd;
            else
                (void)close(fd); /* cannot happen: the buffer holds no more */
        }
    }
    return n;
}

int ipc_recv(int sock, void *msg, size_t n, int *fds, size_t max_fds, size_t *n_fds)
{
    union control control = { 0 };
    char extra; /* a longer message shows itself by reaching this byte */
    struct iovec iov[2] = { { msg, n }, { &extra, 1 } };
    struct msghdr mh = { .msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    int all[IPC_FDS_MAX];
    ssize_t got;

    do
        got = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    size_t k = take_fds(&mh, all);
    if (got == 0 && k == 0)
        return -ECONNRESET;
    if ((size_t)got != n || (mh.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || k > max_fds) {
        close_all(all, k);
        return -EPROTO;
    }
    for (size_t i = 0; i < max_fds; i++)
        fds[i] = i < k ? all[i] : -1;
    if (n_fds)
        *n_fds = k;
    return 0;
}

/* recvmsg as everywhere here: the filters of our programs permit no other. */
uint32_t ipc_peek_version(int sock)
{
    uint32_t word[2];
    struct iovec iov = { word, sizeof word };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t got;

    do
        got = recvmsg(sock, &mh, MSG_PEEK);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof word ? word[1] : 0;
}

void ipc_discard(int sock)
{
    struct msghdr mh = { 0 };
    (void)recvmsg(sock, &mh, MSG_DONTWAIT); /* what was not asked for goes with it */
}

bool sandbox_id_ok(const struct sandbox_id *id)
{
    if (id->text[0] != 'i')
        return false;
    for (size_t i = 1; i < SANDBOX_ID_LEN; i++)
        if (!((id->text[i] >= 'a' && id->text[i] <= 'z') ||
              (id->text[i] >= '0' && id->text[i] <= '9')))
            return false;
    for (size_t i = SANDBOX_ID_LEN; i < sizeof id->text; i++)
        if (id->text[i] != 0)
            return false;
    return true;
}
