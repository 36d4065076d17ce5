/* SPDX-License-Identifier: Apache-2.0 */
/* netlink: netlink messages in a bounded buffer, and the kernel's answer to one. */
#pragma once
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

struct netlink {
    _Alignas(8) char bytes[1024];
    size_t n;
};

/* Begins a message with `head_n` bytes of the family's own header, zeroed; returns that header. */
void *netlink_begin(struct netlink *m, uint16_t type, uint16_t flags, size_t head_n);
void netlink_put(struct netlink *m, uint16_t type, const void *data, size_t n);
void netlink_put_text(struct netlink *m, uint16_t type, const char *text);
void netlink_put_u32(struct netlink *m, uint16_t type, uint32_t v);
/* An attribute that holds others: pass what begin gave to end. */
size_t netlink_nest(struct netlink *m, uint16_t type);
void netlink_end(struct netlink *m, size_t at);
/* Bytes in the middle of a nest that are no attribute, zeroed (the header of a link's peer). */
void *netlink_put_raw(struct netlink *m, size_t n);

/* A socket of that protocol whose reads end after some seconds. fd or -errno. */
int netlink_open(int protocol);
/* Sends a request and waits for its acknowledgement: 0 or -errno. The socket may be shared with
 * somebody who reads from it, too: then -ETIMEDOUT. */
int netlink_call(int fd, struct netlink *m, uint32_t sequence);
/* Sends a request for a dump and calls fn for each message of it. 0 or -errno. */
int netlink_dump(int fd, struct netlink *m, uint32_t sequence,
                 void (*fn)(const struct nlmsghdr *h, void *arg), void *arg);

/* What follows the header of a message, and how many bytes of it there are. */
static inline const void *netlink_body(const struct nlmsghdr *h, size_t *n)
{
    *n = h->nlmsg_len > NLMSG_HDRLEN ? h->nlmsg_len - NLMSG_HDRLEN : 0;
    return (const char *)h + NLMSG_HDRLEN;
}
/* The first attribute among the n bytes at *p, whose length is *data_n; *p and *n move behind it. NULL at the end. */
const void *netlink_next(const void **p, size_t *n, uint16_t *type, size_t *data_n);
/* The attribute of that type among n bytes at p, or NULL; nested or byte-order bits are ignored.
 * *data_n is the length of its data. */
const void *netlink_find(const void *p, size_t n, uint16_t type, size_t *data_n);
