/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "netd/netd.h"

struct box *box_by_id(struct netd *d, const struct sandbox_id *id)
{
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        if (d->box[i].used && memcmp(&d->box[i].id, id, sizeof *id) == 0)
            return &d->box[i];
    return NULL;
}

struct box *box_by_addr(struct netd *d, uint32_t addr)
{
    uint32_t index = addr - d->gateway - 1; /* below the range it is large */

    return index < NETD_BOXES_MAX && d->box[index].used ? &d->box[index] : NULL;
}

void transforms_free(struct transform *t, size_t n)
{
    if (t)
        explicit_bzero(t, n * sizeof *t);
    free(t);
}

size_t box_transforms(const struct box *b, const char *name, size_t *first)
{
    return transform_find(b->transform, b->n_transforms, name, first);
}

void box_free(struct netd *d, struct box *b)
{
    for (size_t i = 0; i < NETD_WHY_MAX; i++)
        d->denied[i] += b->denied[i];
    free((void *)(uintptr_t)b->policy.rule);
    free(b->region);
    transforms_free(b->transform, b->n_transforms);
    free(b->pair);
    free(b->pin);
    explicit_bzero(b->token, sizeof b->token);
    *b = (struct box){ .index = b->index };
}

void box_denied(struct netd *d, struct box *b, enum netd_why why, uint32_t addr, uint16_t port,
                uint8_t proto, const char *name)
{
    struct in_addr in = { .s_addr = htonl(addr) };
    char text[INET_ADDRSTRLEN], quoted[LOG_QUOTE_MAX];

    const char *what = proto == EGRESS_TCP   ? "tcp"
                       : proto == EGRESS_UDP ? "udp"
                       : proto == 1          ? "icmp"
                                             : "other";
    char reason[128];

    b->denied[why]++;
    if (!token_bucket_take(&b->events[why], 1, clock_mono_ns()))
        return;
    (void)inet_ntop(AF_INET, &in, text, sizeof text);
    log_warn("egress_denied", "sandbox=%s dst=%s port=%u proto=%s why=%s%s%s", b->id.text,
             addr ? text : "-", port, what, netd_why_text(why), name ? " name=" : "",
             name ? log_quote(str_from(name), quoted) : "");
    /* Names that a sandbox makes up could carry out what it knows: the address is enough. */
    (void)snprintf(reason, sizeof reason, "%s %s %s:%u", netd_why_text(why), what,
                   addr ? text : "-", port);
    record_denied(d, b, reason);
}

/* --- pins --- */

struct pin *box_pin(struct box *b, const char *name, uint32_t addr, uint64_t now_ns)
{
    for (size_t i = 0; i < b->n_pins; i++)
        if (b->pin[i].addr == addr && b->pin[i].until_ns > now_ns &&
            strcmp(b->pin[i].name, name) == 0)
            return &b->pin[i];
    return NULL;
}

bool box_has_pin_to(const struct box *b, uint32_t addr, uint64_t now_ns)
{
    for (size_t i = 0; i < b->n_pins; i++)
        if (b->pin[i].addr == addr && b->pin[i].until_ns > now_ns)
            return true;
    return false;
}

static void drop_old_pins(struct box *b, uint64_t now_ns)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_pins; i++)
        if (b->pin[i].until_ns > now_ns)
            b->pin[n++] = b->pin[i];
    b->n_pins = n;
}

bool box_add_pin(struct box *b, const char *name, uint32_t addr, uint64_t until_ns,
                 uint64_t now_ns)
{
    struct pin *p = box_pin(b, name, addr, now_ns);

    if (p) {
        if (p->until_ns < until_ns)
            p->until_ns = until_ns;
        return true;
    }
    if (!b->pin && !(b->pin = calloc(PINS_MAX, sizeof *b->pin)))
        return false;
    if (b->n_pins == PINS_MAX)
        drop_old_pins(b, now_ns);
    if (b->n_pins == PINS_MAX)
        return false;
    p = &b->pin[b->n_pins++];
    *p = (struct pin){ .addr = addr, .until_ns = until_ns };
    memcpy(p->name, name, strlen(name) + 1); /* normalised: it fits */
    return true;
}
