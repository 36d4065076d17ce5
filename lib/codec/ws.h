/* SPDX-License-Identifier: Apache-2.0 */
/* ws: WebSocket frames (RFC 6455), both directions. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

struct ws_frame {
    bool fin;
    enum ws_opcode opcode;
    bool masked;
    uint8_t mask[4];
    uint64_t length; /* of the payload that follows the header */
};
/* Reads a frame header. Returns its bytes (2..14), 0 if more are needed, or -1 with *close_code
 * set (1002 protocol error: reserved bits or opcodes, control frame fragmented or over 125,
 * length not minimal or with the top bit; unmasked from a client or masked from a server; 1009:
 * longer than max). */
int ws_parse_header(const void *p, size_t n, bool from_client, uint64_t max, struct ws_frame *f,
                    unsigned *close_code);
/* XORs p with the mask, `offset` bytes into the payload. */
void ws_mask(void *p, size_t n, const uint8_t mask[4], uint64_t offset);
/* Appends one frame; `mask` NULL for a server. */
void ws_write(struct buf *out, bool fin, enum ws_opcode op, const uint8_t *mask,
              struct str payload);
/* Sec-WebSocket-Accept for a Sec-WebSocket-Key: base64(SHA-1(key GUID)), 28 characters and a
 * NUL. 0, or -EINVAL if the key is not the base64 of 16 bytes. (Own SHA-1 of 60 lines: envd
 * links no crypto library.) */
int ws_accept(struct str key, char out[29]);
