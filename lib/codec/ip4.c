/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/ip4.h"

#include <errno.h>

#define PROTO_TCP 6u
#define PROTO_UDP 17u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

int ip4_read(const uint8_t *p, size_t n, struct ip4_flow *f)
{
    if (n < 20 || p[0] >> 4 != 4)
        return -EPROTO;
    size_t head = (size_t)(p[0] & 0xf) * 4;
    if (head < 20 || head > n)
        return -EPROTO;
    *f = (struct ip4_flow){ .src = get32(p + 12), .dst = get32(p + 16), .proto = p[9] };
    if ((f->proto == PROTO_TCP || f->proto == PROTO_UDP) && (get16(p + 6) & 0x1fff) == 0 &&
        n - head >= 4) {
        f->sport = get16(p + head);
        f->dport = get16(p + head + 2);
    }
    return 0;
}
