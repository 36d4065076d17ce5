/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages from sandboxes and from servers upstream. What is accepted has a name of one
 * spelling; the answer that is made of a query echoes its question and can be read back. */
#include <errno.h>
#include <string.h>

#include "codec/dns.h"

#include "fuzz.h"

static void check_name(const char *name)
{
    size_t n = strlen(name);
    FUZZ_CHECK(n <= DNS_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                   name[i] == '-' || name[i] == '_' || name[i] == '.');
}

static void check_query(const uint8_t *data, size_t size)
{
    struct dns_query q;
    struct dns_answer a;
    uint8_t out[DNS_MESSAGE_MAX];
    const uint32_t addr[2] = { 0x01020304, 0x05060708 };
    int rc = dns_read_query(data, size, &q);

    FUZZ_CHECK(rc == 0 || rc == -EPROTO || rc == -EBADMSG || rc == -ENOTSUP);
    if (rc < 0)
        return;
    check_name(q.name);
    size_t n = dns_write_answer(out, &q, DNS_OK, addr, 2, 60);
    FUZZ_CHECK(n <= sizeof out);
    if (q.type != DNS_A || !q.name[0])
        return;
    FUZZ_CHECK(dns_read_answer(out, n, q.id, q.name, &a) == 0);
    FUZZ_CHECK(a.n == 2 && a.addr[0] == addr[0] && a.addr[1] == addr[1] && a.ttl_s == 60);
    n = dns_write_query(out, 7, q.name);
    if (n > 0) {
        struct dns_query again;
        FUZZ_CHECK(dns_read_query(out, n, &again) == 0 && strcmp(again.name, q.name) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_answer a;

    check_query(data, size);
    if (size >= 2 && dns_read_answer(data, size, (uint16_t)(data[0] << 8 | data[1]),
                                     "www.example.com", &a) == 0)
        FUZZ_CHECK(a.n <= DNS_ADDRESSES_MAX && a.ttl_s <= 86400);
    return 0;
}
