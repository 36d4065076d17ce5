/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Sixteen bytes for an address; zeros for anything else. */
static void address_of(const char *peer, uint8_t out[16])
{
    struct in_addr v4;
    struct in6_addr v6;

    memset(out, 0, 16);
    if (inet_pton(AF_INET, peer, &v4) == 1) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, peer, &v6) == 1) {
        memcpy(out, &v6, IN6_IS_ADDR_V4MAPPED(&v6) ? 16 : 8);
    }
}

static struct throttle_source *source_of(struct throttle *t, const uint8_t address[16],
                                         uint64_t now_ns)
{
    struct throttle_source *oldest = &t->source[0];

    for (size_t i = 0; i < THROTTLE_SOURCES; i++) {
        struct throttle_source *s = &t->source[i];
        if (s->last_ns != 0 && memcmp(s->address, address, sizeof s->address) == 0)
            return s;
        if (s->last_ns < oldest->last_ns)
            oldest = s;
    }
    memcpy(oldest->address, address, sizeof oldest->address);
    (void)token_bucket_init(&oldest->bucket, THROTTLE_BURST, THROTTLE_PER_S,
                            now_ns); /* constants: cannot fail */
    return oldest;
}

bool throttle_failed(struct throttle *t, const char *peer, uint64_t now_ns)
{
    uint8_t address[16];

    address_of(peer, address);
    struct throttle_source *s = source_of(t, address, now_ns);
    s->last_ns = now_ns > 0 ? now_ns : 1;
    return token_bucket_take(&s->bucket, 1, now_ns);
}
