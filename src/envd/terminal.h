/* SPDX-License-Identifier: Apache-2.0 */
/* terminal: a new pseudo-terminal. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* Both descriptors are the caller's; the master does not block. The slave belongs to `owner` ((uid_t)-1: stays ours). 0 or -errno. */
int terminal_open(uint16_t cols, uint16_t rows, uid_t owner, int *master, int *slave);
