/* SPDX-License-Identifier: Apache-2.0 */
/* http1: HTTP/1.1 message heads, strictly as RFC 9112 and 9110, and nothing that a peer could
 * read another way. Pure: bytes in, a plain struct out that borrows those bytes. No I/O, no
 * allocation.
 *
 * Refused although the RFC lets a server tolerate it, since tolerance is how requests are
 * smuggled: bare LF, bare CR, obs-fold, blank before the colon, NUL and other controls in
 * values, empty header names, any Transfer-Encoding that is not exactly "chunked",
 * Content-Length together with Transfer-Encoding, more than one Content-Length (equal or not,
 * also "5, 5"), signs, blanks inside or 0x in a length, a length above INT64_MAX, two Host
 * fields, no Host in HTTP/1.1, Transfer-Encoding in HTTP/1.0, a request target that is not
 * origin-form ("/..."), or "*" with OPTIONS. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP1_HEAD_MAX    32768u /* bytes of a head, start line and final CRLF CRLF included */
#define HTTP1_TARGET_MAX  8192u  /* bytes of a request target */
#define HTTP1_HEADERS_MAX 100u   /* header fields */

struct http1_header {
    struct str name;  /* as sent; compare with str_eq_nocase */
    struct str value; /* without surrounding blanks */
};

enum http1_framing {
    HTTP1_NO_BODY,    /* a request with neither length nor chunked, a response that has none by
                         definition */
    HTTP1_LENGTH,     /* exactly content_length bytes follow (may be 0) */
    HTTP1_CHUNKED,    /* chunks follow */
    HTTP1_UNTIL_CLOSE /* responses only: the body ends when the peer closes */
};

struct http1_head {
    bool is_response;
    struct str method; /* request */
    struct str target; /* request: as sent, starts with '/' (or is "*") */
    unsigned status;   /* response: 100..599 */
    unsigned minor;    /* 0 or 1: HTTP/1.0 or HTTP/1.1 */
    struct http1_header header[HTTP1_HEADERS_MAX];
    size_t n_headers;
    enum http1_framing framing;
    uint64_t content_length; /* valid if framing is HTTP1_LENGTH */
    struct str host;         /* request: value of Host, empty if absent (HTTP/1.0) */
    bool keep_alive;         /* may the connection be used again after this message */
    bool expect_continue;    /* request: Expect: 100-continue */
    bool upgrade_websocket;  /* Connection: upgrade and Upgrade: websocket (any case) */
};

/* Why a head was refused; http1_reason gives the sentence for the error body,
 * http1_reason_status the status to answer (400, 414 target too long, 417 expectation, 431 head
 * too large, 501 unknown transfer coding, 505 version). */
enum http1_reason {
    HTTP1_OK = 0,
    HTTP1_BAD_START_LINE,
    HTTP1_BAD_METHOD,
    HTTP1_BAD_TARGET,
    HTTP1_TARGET_TOO_LONG,
    HTTP1_BAD_VERSION,
    HTTP1_BARE_LF,
    HTTP1_BARE_CR,
    HTTP1_CONTROL_CHARACTER,
    HTTP1_OBS_FOLD,
    HTTP1_BAD_HEADER_NAME,
    HTTP1_TOO_MANY_HEADERS,
    HTTP1_HEAD_TOO_LARGE,
    HTTP1_NO_HOST,
    HTTP1_TWO_HOSTS,
    HTTP1_BAD_HOST,
    HTTP1_BAD_LENGTH,
    HTTP1_TWO_LENGTHS,
    HTTP1_LENGTH_AND_CHUNKED,
    HTTP1_BAD_TRANSFER_ENCODING,
    HTTP1_BAD_EXPECT,
    HTTP1_BAD_STATUS,
    HTTP1_UNKNOWN_TRANSFER_CODING
};
const char *http1_reason(enum http1_reason r);
unsigned http1_reason_status(enum http1_reason r);

/* Looks at the first n bytes of a connection for a whole head.
 * Returns the bytes of the head (> 0) with *head set, 0 if more bytes are needed, or -1 with
 * *why set. A violation is reported as soon as its line is seen, not when the head is whole (a
 * bare LF does not wait for a time-out), and is the same however the bytes arrive. *head is
 * unspecified unless the result is > 0. CRLFs before a request line: at most one is skipped
 * (RFC 9112 §2.2). */
int http1_parse_request(const char *p, size_t n, struct http1_head *head,
                        enum http1_reason *why);
/* `to_head` says that the request was HEAD: then, and for 1xx, 204 and 304, the framing is
 * HTTP1_NO_BODY. */
int http1_parse_response(const char *p, size_t n, bool to_head, struct http1_head *head,
                         enum http1_reason *why);

/* The value of the first header of that name (any case), or an empty str with p == NULL. */
struct str http1_get(const struct http1_head *head, const char *name);
/* Is `token` in the comma-separated list that the header(s) of that name hold? */
bool http1_has_token(const struct http1_head *head, const char *name, const char *token);
const char *http1_status_text(unsigned status); /* "Not Found"; "Unknown" for others */

/* --- chunked coding, RFC 9112 §7.1. A decoder is a plain value: zero it and go. --- */
#define HTTP1_CHUNK_EXT_MAX 1024u /* bytes of a chunk-size line with its extensions */
#define HTTP1_TRAILER_MAX   8192u /* bytes of all trailers, which are checked and dropped */

struct http1_chunked {
    unsigned state; /* private */
    uint64_t left;  /* private: bytes of the current chunk still to come */
    unsigned line;  /* private: bytes of the current line or trailer section */
    bool done;      /* the last chunk and the trailers have been read */
};
/* Decodes from p[0..n). Returns how many bytes were consumed; *data is the run of body bytes
 * among them (borrowed, may be empty; at most one run a call, so call again while bytes are
 * left). Returns -1 on bad framing (answer 400 and close), and ever after: size not 1-16 hex
 * digits or above INT64_MAX, no CRLF after a chunk, bare LF or CR, a trailer that is not a
 * field, extension or trailer too long. After done, 0. */
long http1_chunked_decode(struct http1_chunked *d, const char *p, size_t n, struct str *data);
/* All of p[0..n), in place: the body bytes move to the front, *data_n (>= 0) says how many there
 * are. Returns the bytes consumed, fewer than n only after the last chunk, or -1 as above. */
long http1_chunked_decode_in_place(struct http1_chunked *d, char *p, size_t n, size_t *data_n);
