/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the only place that asks what time it is. Logic takes the time as a parameter. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_boot_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */
uint64_t clock_real_ns(void); /* nanoseconds since 1970-01-01 UTC */

#define CLOCK_TEXT_MAX 40
/* Writes RFC 3339 in UTC with `decimals` (0..9) digits of the second, e.g.
 * 2026-01-02T03:04:05.678Z, into out. */
void clock_format_rfc3339(uint64_t real_ns, unsigned decimals, char out[CLOCK_TEXT_MAX]);
/* Parses RFC 3339 (offset Z or +hh:mm, up to 9 decimals). 0 or -EINVAL. */
int clock_parse_rfc3339(const char *text, uint64_t *real_ns);
