/* SPDX-License-Identifier: Apache-2.0 */
/* ip4: who sent a packet to whom, from the first bytes of it (RFC 791, 9293, 768). Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct ip4_flow {
    uint32_t src, dst; /* host order */
    uint8_t proto;
    uint16_t sport, dport; /* TCP, UDP, first fragments; else 0 */
};

/* 0, or -EPROTO if it is no whole IPv4 header. */
int ip4_read(const uint8_t *p, size_t n, struct ip4_flow *f);
