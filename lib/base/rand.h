/* SPDX-License-Identifier: Apache-2.0 */
/* rand: bytes from the kernel's generator (getrandom). Cannot fail on a booted Linux; aborts if
 * it does. */
#pragma once
#include <stddef.h>

void rand_bytes(void *out, size_t n);
/* n characters of [a-z0-9], unbiased (5.17 bits each), then a NUL: out has n + 1 bytes. */
void rand_id(char *out, size_t n);
/* 2n lower-case hexadecimal digits of n random bytes (n <= 64), then a NUL: out has 2n + 1
 * bytes. */
void rand_hex(char *out, size_t n);
