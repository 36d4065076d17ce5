/* SPDX-License-Identifier: Apache-2.0 */
/* egress: what a sandbox may reach, as plain values and pure functions. No clock, no allocation,
 * no I/O: netd asks these functions, and what it puts into the kernel is what they say.
 *
 * Semantics (E2B's): an entry that allows wins over one that denies; what no entry names
 * follows `open`. Some destinations are refused whatever a policy says (egress_is_special). A
 * name that is allowed opens the addresses that our own resolver has answered for it, and
 * nothing else. Only TCP and UDP over IPv4 leave a sandbox. Addresses are in host byte order. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define EGRESS_RULES_MAX   128u
#define EGRESS_NAME_MAX    253u
#define EGRESS_REGIONS_MAX 4096u

#define EGRESS_TCP 6u
#define EGRESS_UDP 17u

enum egress_kind {
    EGRESS_CIDR = 1, /* addr/prefix */
    EGRESS_NAME,     /* exactly name */
    EGRESS_SUFFIX    /* any name below name, but not name itself: "*.name" */
};

/* One entry. Fixed layout: it crosses a process border as it is (ipc/netd_proto.h). */
struct egress_rule {
    uint8_t kind;                   /* enum egress_kind */
    uint8_t allow;                  /* 1 or 0; names can only be allowed */
    uint8_t proto;                  /* EGRESS_TCP, EGRESS_UDP or 0: both */
    uint8_t prefix;                 /* CIDR: 0..32 */
    uint32_t addr;                  /* CIDR: without bits beyond the prefix */
    uint16_t port_first;            /* 0..65535; names: one port, or all of them */
    uint16_t port_last;             /* >= port_first */
    char name[EGRESS_NAME_MAX + 3]; /* lower case, no dot at the end; NUL-padded */
};
_Static_assert(sizeof(struct egress_rule) == 268, "wire size");

struct egress_policy {
    bool open;                      /* what no entry names is allowed */
    size_t n;                       /* entries, at most EGRESS_RULES_MAX */
    const struct egress_rule *rule; /* borrowed */
};

/* Reads one entry of allowOut or denyOut: [tcp:|udp:]TARGET[:PORT[-PORT]], where TARGET is an
 * IPv4 address, a CIDR, or (only if `allow`) a domain or *.domain, which takes one port at most.
 * 0, or -EINVAL with *e saying what is wrong with it (without naming the field). */
int egress_rule_parse(struct str text, bool allow, struct egress_rule *out, struct err *e);
/* Is a rule that came over a border one that egress_rule_parse could have made? */
bool egress_rule_ok(const struct egress_rule *r);
/* Does it name every address and port, as "0.0.0.0/0" does? */
bool egress_rule_is_everything(const struct egress_rule *r);

/* Host names as they are compared: lower-cased into out, one dot at the end dropped, 1..253
 * bytes of LDH labels and '_', at least two of them, and no IPv4 address. 0 or -EINVAL. */
int egress_name_normalise(struct str text, char out[EGRESS_NAME_MAX + 1]);

/* Addresses that no sandbox reaches, granted or not: this network, loopback, link-local (and
 * with it every metadata service), private and shared ranges, documentation, benchmarks (where
 * our own addresses are), multicast, reserved, broadcast. */
bool egress_is_special(uint32_t addr);
/* The same ranges, for whoever must tell the kernel. */
struct egress_range {
    uint32_t addr;
    uint8_t prefix;
};
const struct egress_range *egress_special_ranges(size_t *n);

/* May it reach that address by the entries that name addresses? */
bool egress_address_allowed(const struct egress_policy *p, uint8_t proto, uint32_t addr,
                            uint16_t port);

enum egress_name_verdict {
    EGRESS_NAME_REFUSED, /* it is not even resolved */
    EGRESS_NAME_OPEN,    /* resolved; what it answers opens nothing, since all is open */
    EGRESS_NAME_PINNED   /* resolved, and its addresses are opened */
};
/* `name` must be normalised. */
enum egress_name_verdict egress_name_decide(const struct egress_policy *p, const char *name);
/* Is that name allowed at that port by an entry that names names? */
bool egress_name_allowed(const struct egress_policy *p, const char *name, uint8_t proto,
                         uint16_t port);
/* Is there a rule that allows this name and limits it to a port? Calls fn for each; the return
 * value says whether some rule allows it at all ports. */
bool egress_name_ports(const struct egress_policy *p, const char *name,
                       void (*fn)(uint8_t proto, uint16_t port, void *arg), void *arg);

/* A box of addresses and ports that is allowed. */
struct egress_region {
    uint32_t addr_first, addr_last;
    uint8_t proto; /* EGRESS_TCP or EGRESS_UDP */
    uint16_t port_first, port_last;
};
/* The entries that name addresses as boxes that do not overlap: a destination is in one of them
 * if and only if egress_address_allowed says so, special ranges left aside. Returns how many, in
 * ascending order, or -E2BIG if there are more than max. */
int egress_compile(const struct egress_policy *p, struct egress_region *out, size_t max);
