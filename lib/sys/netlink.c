/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"

#define ANSWER_SECONDS 2
#define DUMP_BYTES     65536u

static void *grow(struct netlink *m, size_t n)
{
    size_t at = m->n, padded = NLMSG_ALIGN(n);

    ASSERT(at + padded <= sizeof m->bytes); /* our own messages are small */
    memset(m->bytes + at, 0, padded);
    m->n += padded;
    return m->bytes + at;
}

void *netlink_begin(struct netlink *m, uint16_t type, uint16_t flags, size_t head_n)
{
    m->n = 0;
    struct nlmsghdr *h = grow(m, sizeof *h);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    return grow(m, head_n);
}

void netlink_put(struct netlink *m, uint16_t type, const void *data, size_t n)
{
    struct nlattr *a = grow(m, sizeof *a + n);

    a->nla_type = type;
    a->nla_len = (uint16_t)(sizeof *a + n);
    if (n > 0)
        memcpy(a + 1, data, n);
}

void netlink_put_text(struct netlink *m, uint16_t type, const char *text)
{
    netlink_put(m, type, text, strlen(text) + 1);
}

void netlink_put_u32(struct netlink *m, uint16_t type, uint32_t v)
{
    netlink_put(m, type, &v, sizeof v);
}

size_t netlink_nest(struct netlink *m, uint16_t type)
{
    size_t at = m->n;
    struct nlattr *a = grow(m, sizeof *a);

    a->nla_type = type;
    return at;
}

void netlink_end(struct netlink *m, size_t at)
{
    struct nlattr *a = (struct nlattr *)(void *)(m->bytes + at);

    a->nla_len = (uint16_t)(m->n - at);
}

void *netlink_put_raw(struct netlink *m, size_t n)
{
    return grow(m, n);
}

int netlink_open(int protocol)
{
    AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    const struct timeval t = { .tv_sec = ANSWER_SECONDS };

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0)
        return -errno;
    return fd_steal(&fd);
}

static int transmit(int fd, struct netlink *m, uint32_t sequence)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)m->bytes;
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    h->nlmsg_len = (uint32_t)m->n;
    h->nlmsg_seq = sequence;
    return sendto(fd, m->bytes, m->n, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0
               ? -errno
               : 0;
}

/* Reads one datagram that the kernel sent. Its length or -errno. */
static ssize_t receive(int fd, void *out, size_t n)
{
    struct sockaddr_nl from = { 0 };
    socklen_t from_n = sizeof from;
    ssize_t got = recvfrom(fd, out, n, MSG_TRUNC, (struct sockaddr *)&from, &from_n);

    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if ((size_t)got > n || from.nl_pid != 0)
        return -EPROTO;
    return got;
}

static int error_of(const struct nlmsghdr *h)
{
    size_t n;
    const struct nlmsgerr *err = netlink_body(h, &n);

    return n < sizeof *err ? -EPROTO : err->error;
}

int netlink_call(int fd, struct netlink *m, uint32_t sequence)
{
    _Alignas(8) char answer[8192];

    ((struct nlmsghdr *)(void *)m->bytes)->nlmsg_flags |= NLM_F_ACK;
    int rc = transmit(fd, m, sequence);
    if (rc < 0)
        return rc;
    for (int tries = 0; tries < 16; tries++) { /* answers to calls that were given up */
        ssize_t n = receive(fd, answer, sizeof answer);
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)answer;
        if (n < 0)
            return (int)n;
        if (n >= (ssize_t)sizeof *h && h->nlmsg_type == NLMSG_ERROR &&
            h->nlmsg_seq == sequence && h->nlmsg_len <= (size_t)n)
            return error_of(h);
    }
    return -EPROTO;
}

/* One datagram of a dump. 1: there is more, 0: done, or -errno. */
static int take_dump(const char *p, size_t n, uint32_t sequence,
                     void (*fn)(const struct nlmsghdr *h, void *arg), void *arg)
{
    while (n >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)p;
        if (h->nlmsg_len < sizeof *h || h->nlmsg_len > n)
            return -EPROTO;
        if (h->nlmsg_seq == sequence) {
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR)
                return error_of(h);
            fn(h, arg);
        }
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        if (step >= n)
            break;
        p += step;
        n -= step;
    }
    return 1;
}

int netlink_dump(int fd, struct netlink *m, uint32_t sequence,
                 void (*fn)(const struct nlmsghdr *h, void *arg), void *arg)
{
    AUTO_FREE char *answer = malloc(DUMP_BYTES);
    int rc = answer ? transmit(fd, m, sequence) : -ENOMEM;

    while (rc == 0) {
        ssize_t n = receive(fd, answer, DUMP_BYTES);
        if (n < 0)
            return (int)n;
        int more = take_dump(answer, (size_t)n, sequence, fn, arg);
        if (more <= 0)
            return more;
    }
    return rc;
}

const void *netlink_next(const void **p, size_t *n, uint16_t *type, size_t *data_n)
{
    const struct nlattr *a = *p;

    if (*n < sizeof *a || a->nla_len < sizeof *a || a->nla_len > *n)
        return NULL;
    *type = (uint16_t)(a->nla_type & (unsigned)NLA_TYPE_MASK);
    *data_n = a->nla_len - sizeof *a;
    size_t step = NLMSG_ALIGN((size_t)a->nla_len); /* attributes have the same alignment */
    step = step < *n ? step : *n;
    *p = (const char *)*p + step;
    *n -= step;
    return a + 1;
}

const void *netlink_find(const void *p, size_t n, uint16_t type, size_t *data_n)
{
    uint16_t found;

    for (const void *data; (data = netlink_next(&p, &n, &found, data_n));)
        if (found == type)
            return data;
    return NULL;
}
