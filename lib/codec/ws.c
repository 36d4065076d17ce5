/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/ws.h"

#include <errno.h>
#include <string.h>

#include "codec/base64.h"

#define CLOSE_PROTOCOL_ERROR 1002u
#define CLOSE_TOO_BIG        1009u
#define CONTROL_MAX          125u

static int refuse(unsigned *close_code, unsigned code)
{
    *close_code = code;
    return -1;
}

static bool is_control(unsigned opcode)
{
    return opcode >= WS_CLOSE;
}

static bool is_known(unsigned opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

/* What the first two bytes alone give away. */
static bool prefix_ok(const unsigned char *b, size_t n, bool from_client)
{
    unsigned opcode = b[0] & 15u;
    bool fin = b[0] & 0x80u;

    if ((b[0] & 0x70u) != 0 || !is_known(opcode) || (is_control(opcode) && !fin))
        return false;
    if (n < 2)
        return true;
    return ((b[1] & 0x80u) != 0) == from_client &&
           (!is_control(opcode) || (b[1] & 0x7fu) <= CONTROL_MAX);
}

int ws_parse_header(const void *p, size_t n, bool from_client, uint64_t max, struct ws_frame *f,
                    unsigned *close_code)
{
    const unsigned char *b = p;

    if (n == 0)
        return 0;
    if (!prefix_ok(b, n, from_client))
        return refuse(close_code, CLOSE_PROTOCOL_ERROR);
    if (n < 2)
        return 0;
    uint64_t length = b[1] & 0x7fu;
    size_t more = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (n < 2 + more)
        return 0;
    if (more > 0) {
        length = 0;
        for (size_t i = 0; i < more; i++)
            length = length << 8 | b[2 + i];
        if (length <= (more == 2 ? CONTROL_MAX : 0xffffu) || length > INT64_MAX)
            return refuse(close_code, CLOSE_PROTOCOL_ERROR);
    }
    if (length > max)
        return refuse(close_code, CLOSE_TOO_BIG);
    size_t size = 2 + more + (from_client ? 4 : 0);
    if (n < size)
        return 0;
    *f = (struct ws_frame){ .fin = b[0] & 0x80u,
                            .opcode = (enum ws_opcode)(b[0] & 15u),
                            .masked = from_client,
                            .length = length };
    if (from_client)
        memcpy(f->mask, b + 2 + more, 4);
    return (int)size;
}

void ws_mask(void *p, size_t n, const uint8_t mask[4], uint64_t offset)
{
    unsigned char *b = p;
    uint8_t eight[8];
    uint64_t word, m;
    size_t i = 0;

    for (size_t k = 0; k < 8; k++)
        eight[k] = mask[(offset + k) & 3];
    memcpy(&m, eight, 8);
    for (; n - i >= 8; i += 8) {
        memcpy(&word, b + i, 8);
        word ^= m;
        memcpy(b + i, &word, 8);
    }
    for (; i < n; i++)
        b[i] ^= eight[i & 7];
}

void ws_write(struct buf *out, bool fin, enum ws_opcode op, const uint8_t *mask,
              struct str payload)
{
    unsigned char head[14];
    size_t more = payload.n > 0xffff ? 8 : payload.n > CONTROL_MAX ? 2 : 0;
    size_t size = 2 + more;

    head[0] = (unsigned char)((fin ? 0x80u : 0) | (unsigned)op);
    head[1] = (unsigned char)((mask ? 0x80u : 0) | (more == 8   ? 127
                                                    : more == 2 ? 126
                                                                : payload.n));
    for (size_t i = 0; i < more; i++)
        head[2 + i] = (unsigned char)(payload.n >> 8 * (more - 1 - i));
    if (mask) {
        memcpy(head + size, mask, 4);
        size += 4;
    }
    buf_add(out, head, size);
    buf_add_str(out, payload);
    if (mask && buf_ok(out))
        ws_mask(out->p + out->n - payload.n, payload.n, mask, 0);
}

/* --- SHA-1 (FIPS 180-4), of at most 119 bytes. The handshake wants it as a checksum; nothing
 * here relies on it. --- */

static uint32_t rotl(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

static void sha1_block(uint32_t h[5], const unsigned char *b)
{
    uint32_t w[80];
    uint32_t a = h[0], bb = h[1], c = h[2], d = h[3], e = h[4];

    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)b[4 * i] << 24 | (uint32_t)b[4 * i + 1] << 16 |
               (uint32_t)b[4 * i + 2] << 8 | b[4 * i + 3];
    for (size_t i = 16; i < 80; i++)
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (size_t i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (bb & c) | (~bb & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = bb ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (bb & c) | (bb & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = bb ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t t = rotl(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotl(bb, 30);
        bb = a;
        a = t;
    }
    h[0] += a;
    h[1] += bb;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* The 24 characters of a key and the GUID make 60 bytes: with the end mark and the length,
 * always two blocks. */
#define KEY_N  24u
#define GUID   "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define TEXT_N (KEY_N + sizeof GUID - 1)

static void sha1_of_key(const char *key, unsigned char out[20])
{
    uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
    unsigned char text[128] = { 0 };

    memcpy(text, key, KEY_N);
    memcpy(text + KEY_N, GUID, sizeof GUID - 1);
    text[TEXT_N] = 0x80;
    text[126] = (unsigned char)(TEXT_N * 8 >> 8);
    text[127] = (unsigned char)(TEXT_N * 8 & 255);
    sha1_block(h, text);
    sha1_block(h, text + 64);
    for (size_t i = 0; i < 20; i++)
        out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

int ws_accept(struct str key, char out[29])
{
    unsigned char digest[20];
    AUTO_BUF struct buf b = BUF_INIT(32);

    if (key.n != KEY_N || base64_decode(key, &b) < 0 || !buf_ok(&b) || b.n != 16)
        return -EINVAL;
    sha1_of_key(key.p, digest);
    buf_clear(&b);
    base64_encode(digest, sizeof digest, &b);
    if (!buf_ok(&b))
        return -EINVAL;
    memcpy(out, buf_cstr(&b), 29);
    return 0;
}
