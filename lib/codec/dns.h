/* SPDX-License-Identifier: Apache-2.0 */
/* dns: the little of RFC 1035 that a resolver with a policy needs, strictly. Pure: bytes in, a
 * plain struct out; nothing is allocated and nothing is borrowed.
 *
 * Names are host names: lower-cased, labels of [a-z0-9_-], joined by dots, at most 253 bytes.
 * Anything else (a dot or a blank inside of a label, compression in a question) is refused, so
 * that a name has one spelling only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX      253u
#define DNS_ADDRESSES_MAX 32u
#define DNS_MESSAGE_MAX   1232u /* what we send and take over UDP (DNS flag day 2020) */

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_OPT = 41, DNS_HTTPS = 65 };
enum dns_rcode {
    DNS_OK = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5
};

struct dns_query {
    uint16_t id;
    uint16_t type;
    bool recursion_desired;
    bool edns;
    char name[DNS_NAME_MAX + 1];
    uint8_t question[DNS_NAME_MAX + 2 + 4]; /* as sent, case and all, to be echoed */
    size_t question_n;
};
/* Reads a query of a client. 0; -EPROTO if it deserves no answer (not a query, or cut); -EBADMSG
 * or -ENOTSUP with q->id set: answer DNS_FORMERR or DNS_NOTIMP without a question. */
int dns_read_query(const uint8_t *p, size_t n, struct dns_query *q);

/* The answer to q: `addr` (host order) as A records under the name that was asked for. Returns
 * the bytes written into out, which has DNS_MESSAGE_MAX. With q->question_n 0 no question. */
size_t dns_write_answer(uint8_t *out, const struct dns_query *q, enum dns_rcode rcode,
                        const uint32_t *addr, size_t n, uint32_t ttl_s);

/* A query of ours for the A records of `name` (normalised). Bytes written, 0 if the name is none. */
size_t dns_write_query(uint8_t *out, uint16_t id, const char *name);

struct dns_answer {
    enum dns_rcode rcode;
    bool is_cut;                      /* there is more than fits a datagram: ask over TCP */
    uint32_t addr[DNS_ADDRESSES_MAX]; /* host order, of the name or what it is an alias of */
    size_t n;
    uint32_t ttl_s; /* the least of those used */
};
/* Reads what an upstream server says to the query above. 0, or -EPROTO if it is not an answer to
 * exactly that question. Records that are broken, foreign or beyond the maximum are left out. */
int dns_read_answer(const uint8_t *p, size_t n, uint16_t id, const char *name,
                    struct dns_answer *a);
