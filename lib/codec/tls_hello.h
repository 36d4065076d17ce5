/* SPDX-License-Identifier: Apache-2.0 */
/* tls_hello: the server name in the first flight of a TLS client (RFC 8446 §4.1.2, RFC 6066 §3),
 * strictly. Pure: bytes in, a plain struct out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_HELLO_MAX                                                                          \
    16384u /* bytes of the ClientHello message, and of all records around it */
#define TLS_NAME_MAX 253u

struct tls_hello {
    char name[TLS_NAME_MAX + 1]; /* as sent; "" if there is none */
    bool encrypted; /* it has an encrypted ClientHello: the name above is not the true
                                    one (RFC 9849) */
};

/* Looks at the first n bytes of a connection. The message may be spread over several records;
 * `scratch` (TLS_HELLO_MAX bytes) is used to join them. Returns 1 with *h set, 0 if more bytes
 * are needed, or -EPROTO if this is no ClientHello that has one meaning only: another record or
 * message type, lengths that do not add up, an extension twice, more than one name, a name with
 * a NUL or another byte that no host name has. */
int tls_hello_read(const uint8_t *p, size_t n, uint8_t *scratch, struct tls_hello *h);
