/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_framing: requests that no server may accept, as plain data. Each ends where the violation has
 * been seen: a parser must refuse it without another byte, and the same way if it gets one byte
 * at a time. Used against the parser (test_hostile_framing.c) and against the server's socket. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "codec/http1.h"

struct hostile_framing {
    const char *name;
    const char *bytes;
    size_t n;
    enum http1_reason reason; /* what the parser must say; HTTP1_OK if in_body */
    unsigned status;          /* what the server must answer */
    bool in_body;             /* the head is good, the chunks that follow it are not */
};

#define TIMES_10(s)   s s s s s s s s s s
#define TIMES_100(s)  TIMES_10(TIMES_10(s))
#define TIMES_1000(s) TIMES_10(TIMES_100(s))

#define IN_HEAD(name, why, status, bytes)                                                      \
    {                                                                                          \
        name, bytes, sizeof(bytes) - 1, HTTP1_##why, status, false                             \
    }
#define IN_BODY(name, chunks)                                                                  \
    {                                                                                          \
        name, CHUNKED chunks, sizeof(CHUNKED chunks) - 1, HTTP1_OK, 400, true                  \
    }
#define GET     "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST    "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Standard C promises 4095 characters in a literal; both compilers take more. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const struct hostile_framing hostile_framing[] = {
    /* --- how long is the body? --- */
    IN_HEAD("length and chunked", LENGTH_AND_CHUNKED, 400,
            POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    IN_HEAD("chunked and length", LENGTH_AND_CHUNKED, 400,
            POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    IN_HEAD("two equal lengths", TWO_LENGTHS, 400,
            POST "Content-Length: 5\r\nContent-Length: 5\r\n"),
    IN_HEAD("two different lengths", TWO_LENGTHS, 400,
            POST "Content-Length: 5\r\ncontent-length: 6\r\n"),
    IN_HEAD("list of equal lengths", BAD_LENGTH, 400, POST "Content-Length: 5, 5\r\n"),
    IN_HEAD("length with plus", BAD_LENGTH, 400, POST "Content-Length: +5\r\n"),
    IN_HEAD("length with minus", BAD_LENGTH, 400, POST "Content-Length: -1\r\n"),
    IN_HEAD("hexadecimal length", BAD_LENGTH, 400, POST "Content-Length: 0x5\r\n"),
    IN_HEAD("length with a blank inside", BAD_LENGTH, 400, POST "Content-Length:  5 5\r\n"),
    IN_HEAD("length with a fraction", BAD_LENGTH, 400, POST "Content-Length: 5.0\r\n"),
    IN_HEAD("length with exponent", BAD_LENGTH, 400, POST "Content-Length: 1e3\r\n"),
    IN_HEAD("length with a letter", BAD_LENGTH, 400, POST "Content-Length: 5a\r\n"),
    IN_HEAD("length in other digits", BAD_LENGTH, 400, POST "Content-Length: \xd9\xa5\r\n"),
    IN_HEAD("empty length", BAD_LENGTH, 400, POST "Content-Length: \r\n"),
    IN_HEAD("quoted length", BAD_LENGTH, 400, POST "Content-Length: \"5\"\r\n"),
    IN_HEAD("length of 2 to the 64", BAD_LENGTH, 400,
            POST "Content-Length: 18446744073709551616\r\n"),
    IN_HEAD("length of 2 to the 64 and 5", BAD_LENGTH, 400,
            POST "Content-Length: 18446744073709551621\r\n"),
    IN_HEAD("length of 2 to the 63", BAD_LENGTH, 400,
            POST "Content-Length: 9223372036854775808\r\n"),
    IN_HEAD("length of 2 to the 32, in 30 digits", BAD_LENGTH, 400,
            POST "Content-Length: 000000000000000000004294967296\r\n"),
    IN_HEAD("transfer coding that ends like chunked", UNKNOWN_TRANSFER_CODING, 501,
            POST "Transfer-Encoding: xchunked\r\n"),
    IN_HEAD("unknown transfer coding", UNKNOWN_TRANSFER_CODING, 501,
            POST "Transfer-Encoding: gzip\r\n"),
    IN_HEAD("unknown transfer coding before chunked", UNKNOWN_TRANSFER_CODING, 501,
            POST "Transfer-Encoding: gzip, chunked\r\n"),
    IN_HEAD("identity", UNKNOWN_TRANSFER_CODING, 501, POST "Transfer-Encoding: identity\r\n"),
    IN_HEAD("chunked is not the last coding", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: chunked, identity\r\n"),
    IN_HEAD("chunked twice in a list", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: chunked, chunked\r\n"),
    IN_HEAD("list with an empty item", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: , chunked\r\n"),
    IN_HEAD("chunked with parameter", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: chunked;q=1\r\n"),
    IN_HEAD("quoted chunked", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: \"chunked\"\r\n"),
    IN_HEAD("chunked behind a vertical tab", CONTROL_CHARACTER, 400,
            POST "Transfer-Encoding: \x0b"
                 "chunked\r\n"),
    IN_HEAD("chunked before a no-break space", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: chunked\xa0\r\n"),
    IN_HEAD("empty transfer encoding", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding:\r\n"),
    IN_HEAD("transfer encoding twice", BAD_TRANSFER_ENCODING, 400,
            POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    IN_HEAD("transfer encoding in HTTP/1.0", BAD_TRANSFER_ENCODING, 400,
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"),

    /* --- where does a line end? --- */
    IN_HEAD("bare LF after the request line", BARE_LF, 400, "GET / HTTP/1.1\n"),
    IN_HEAD("bare LF after a header", BARE_LF, 400, "GET / HTTP/1.1\r\nHost: a\n"),
    IN_HEAD("bare LF as the empty line", BARE_LF, 400, GET "\n"),
    IN_HEAD("bare LF before the request line", BARE_LF, 400, "\nGET"),
    IN_HEAD("bare CR in the request line", BARE_CR, 400, "GET /\rx"),
    IN_HEAD("bare CR in a value", BARE_CR, 400, GET "A: b\rC"),
    IN_HEAD("bare CR before CRLF", BARE_CR, 400, GET "A: b\r\r\n"),
    IN_HEAD("bare CR as the empty line", BARE_CR, 400, GET "\rX"),
    IN_HEAD("two empty lines before the request line", BAD_START_LINE, 400,
            "\r\n\r\nGET / HTTP/1.1\r\n"),

    /* --- what is a header? --- */
    IN_HEAD("folded with a blank", OBS_FOLD, 400, GET "A: b\r\n c\r\n"),
    IN_HEAD("folded with a tab", OBS_FOLD, 400, GET "A: b\r\n\tc\r\n"),
    IN_HEAD("folded length", OBS_FOLD, 400, POST "Content-Length: 1\r\n 0\r\n"),
    IN_HEAD("first header line begins with a blank", OBS_FOLD, 400,
            "GET / HTTP/1.1\r\n Host: a\r\n"),
    IN_HEAD("line of blanks", OBS_FOLD, 400, GET "  \r\n"),
    IN_HEAD("blank before the colon", BAD_HEADER_NAME, 400, POST "Content-Length : 5\r\n"),
    IN_HEAD("tab before the colon", BAD_HEADER_NAME, 400, POST "Content-Length\t: 5\r\n"),
    IN_HEAD("blank inside a name", BAD_HEADER_NAME, 400, POST "Content Length: 5\r\n"),
    IN_HEAD("empty header name", BAD_HEADER_NAME, 400, GET ": b\r\n"),
    IN_HEAD("header without colon", BAD_HEADER_NAME, 400, GET "Content-Length\r\n"),
    IN_HEAD("header name with a slash", BAD_HEADER_NAME, 400, GET "a/b: c\r\n"),
    IN_HEAD("header name with a byte above ASCII", BAD_HEADER_NAME, 400, GET "\xc3\xa4: c\r\n"),
    IN_HEAD("NUL in a value", CONTROL_CHARACTER, 400, GET "A: b\0c"),
    IN_HEAD("NUL in a name", CONTROL_CHARACTER, 400, GET "A\0: b"),
    IN_HEAD("NUL behind the value of a length", CONTROL_CHARACTER, 400,
            POST "Content-Length: 5\0"),
    IN_HEAD("escape in a value", CONTROL_CHARACTER, 400, GET "A: \x1b[2J"),
    IN_HEAD("form feed in a value", CONTROL_CHARACTER, 400, GET "A: \x0c"),
    IN_HEAD("backspace in a name", CONTROL_CHARACTER, 400, GET "A\x08: b"),
    IN_HEAD("DEL in a value", CONTROL_CHARACTER, 400, GET "A: b\x7f"),

    /* --- for whom is it? --- */
    IN_HEAD("no host", NO_HOST, 400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
    IN_HEAD("two equal hosts", TWO_HOSTS, 400, GET "Host: a\r\n"),
    IN_HEAD("two different hosts", TWO_HOSTS, 400, GET "hOST: b\r\n"),
    IN_HEAD("two hosts in one", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a, b\r\n"),
    IN_HEAD("empty host", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost:\r\n"),
    IN_HEAD("host with a path", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a/b\r\n"),
    IN_HEAD("host with user", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: u@a\r\n"),
    IN_HEAD("host with a blank", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a b\r\n"),
    IN_HEAD("host with port only", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: :80\r\n"),
    IN_HEAD("host with empty port", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a:\r\n"),
    IN_HEAD("host with a port of 65536", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n"),
    IN_HEAD("host with two ports", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n"),
    IN_HEAD("host with unclosed bracket", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: [::1\r\n"),
    IN_HEAD("host with text behind the bracket", BAD_HOST, 400,
            "GET / HTTP/1.1\r\nHost: [::1]x\r\n"),
    IN_HEAD("host with a percent sign", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: a%2e\r\n"),
    IN_HEAD("host above ASCII", BAD_HOST, 400, "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n"),
    IN_HEAD("host of 256 characters", BAD_HOST, 400,
            "GET / HTTP/1.1\r\nHost: " TIMES_100("aa") TIMES_10("aaaaa") "aaaaaa\r\n"),
    IN_HEAD("absolute form", BAD_TARGET, 400, "GET http://b/ HTTP/1.1\r\n"),
    IN_HEAD("authority form", BAD_TARGET, 400, "CONNECT b:443 HTTP/1.1\r\n"),
    IN_HEAD("asterisk without OPTIONS", BAD_TARGET, 400, "GET * HTTP/1.1\r\n"),

    /* --- what is asked? --- */
    IN_HEAD("HTTP/2.0", BAD_VERSION, 505, "GET / HTTP/2.0\r\n"),
    IN_HEAD("the preface of HTTP/2", BAD_VERSION, 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    IN_HEAD("HTTP/1.2", BAD_VERSION, 505, "GET / HTTP/1.2\r\n"),
    IN_HEAD("HTTP/0.9 in words", BAD_VERSION, 505, "GET / HTTP/0.9\r\n"),
    IN_HEAD("HTTP/0.9", BAD_START_LINE, 400, "GET /\r\n"),
    IN_HEAD("HTTP/11", BAD_START_LINE, 400, "GET / HTTP/11\r\n"),
    IN_HEAD("HTTP/1.10", BAD_START_LINE, 400, "GET / HTTP/1.10\r\n"),
    IN_HEAD("lower-case version", BAD_START_LINE, 400, "GET / http/1.1\r\n"),
    IN_HEAD("blank behind the version", BAD_START_LINE, 400, "GET / HTTP/1.1 \r\n"),
    IN_HEAD("two blanks before the target", BAD_START_LINE, 400, "GET  / HTTP/1.1\r\n"),
    IN_HEAD("two blanks before the version", BAD_START_LINE, 400, "GET /  HTTP/1.1\r\n"),
    IN_HEAD("tab between method and target", BAD_METHOD, 400, "GET\t/ HTTP/1.1\r\n"),
    IN_HEAD("blank before the method", BAD_METHOD, 400, " GET / HTTP/1.1\r\n"),
    IN_HEAD("method with a brace", BAD_METHOD, 400, "g{t / HTTP/1.1\r\n"),
    IN_HEAD("method above ASCII", BAD_METHOD, 400, "g\xc3\xa9t / HTTP/1.1\r\n"),
    IN_HEAD("method of 33 letters", BAD_METHOD, 400, TIMES_10("get") "get / HTTP/1.1\r\n"),
    IN_HEAD("method of 9000 letters", TARGET_TOO_LONG, 414, TIMES_1000("methodsss")),
    IN_HEAD("start of a TLS handshake", CONTROL_CHARACTER, 400, "\x16\x03\x01\x02"),
    IN_HEAD("one word", BAD_START_LINE, 400, "QUIT\r\n"),
    IN_HEAD("status line instead of a request", BAD_METHOD, 400, "HTTP/1.1 200 OK\r\n"),
    IN_HEAD("target with NUL", CONTROL_CHARACTER, 400, "GET /\0"),
    IN_HEAD("target with a blank", BAD_START_LINE, 400, "GET /a b HTTP/1.1\r\n"),
    IN_HEAD("target with a tab", BAD_TARGET, 400, "GET /a\tb HTTP/1.1\r\n"),
    IN_HEAD("target with a fragment", BAD_TARGET, 400, "GET /a#b HTTP/1.1\r\n"),
    IN_HEAD("target above ASCII", BAD_TARGET, 400, "GET /\xc3\xa4 HTTP/1.1\r\n"),
    IN_HEAD("relative target", BAD_TARGET, 400, "GET a HTTP/1.1\r\n"),
    IN_HEAD("expectation other than 100-continue", BAD_EXPECT, 417, POST "Expect: 200-ok\r\n"),

    /* --- how much? --- */
    IN_HEAD("target of 8193 bytes", TARGET_TOO_LONG, 414,
            "GET /" TIMES_1000("12345678") TIMES_10("1234567890123456789") "12 HTTP/1.1\r\n"),
    IN_HEAD("endless target", TARGET_TOO_LONG, 414, "GET /" TIMES_1000("123456789")),
    IN_HEAD("101 headers", TOO_MANY_HEADERS, 431, GET TIMES_100("A: b\r\n")),
    IN_HEAD("head of 33 KiB", HEAD_TOO_LARGE, 431,
            GET "A: " TIMES_1000("12345678901234567890123456789012345") "\r\n\r\n"),
    IN_HEAD("33 KiB of a header's name", HEAD_TOO_LARGE, 431,
            GET TIMES_1000("abcdefghijklmnopqrstuvwxyz123456789")),

    /* --- chunks --- */
    IN_BODY("chunk size with plus", "+5\r\nhello\r\n"),
    IN_BODY("chunk size with minus", "-5\r\nhello\r\n"),
    IN_BODY("chunk size with 0x", "0x5\r\nhello\r\n"),
    IN_BODY("blank before the chunk size", " 5\r\nhello\r\n"),
    IN_BODY("blank behind the chunk size", "5 \r\nhello\r\n"),
    IN_BODY("blank before a chunk extension", "5 ;a=b\r\nhello\r\n"),
    IN_BODY("empty chunk size", "\r\nhello\r\n"),
    IN_BODY("extension without chunk size", ";a=b\r\nhello\r\n"),
    IN_BODY("chunk size with a letter that is no digit", "5g\r\nhello\r\n"),
    IN_BODY("chunk size with a comma", "5,5\r\nhello\r\n"),
    IN_BODY("chunk size of 17 digits", "00000000000000005\r\nhello\r\n"),
    IN_BODY("chunk size of 2 to the 64", "10000000000000000\r\n"),
    IN_BODY("chunk size of 2 to the 63", "8000000000000000\r\n"),
    IN_BODY("chunk size of 2 to the 64 less 1", "ffffffffffffffff\r\n"),
    IN_BODY("endless chunk extension", "5;" TIMES_1000("ab")),
    IN_BODY("NUL in a chunk extension", "5;a\0"),
    IN_BODY("bare LF behind the chunk size", "5\nhello\r\n"),
    IN_BODY("bare LF in a chunk extension", "5;a\nhello\r\n"),
    IN_BODY("bare CR behind the chunk size", "5\rhello"),
    IN_BODY("no CRLF behind the chunk", "5\r\nhello0\r\n\r\n"),
    IN_BODY("bare LF behind the chunk", "5\r\nhello\n0\r\n\r\n"),
    IN_BODY("bare CR behind the chunk", "5\r\nhello\r0\r\n\r\n"),
    IN_BODY("more bytes than the chunk size says", "4\r\nhello\r\n0\r\n\r\n"),
    IN_BODY("bare LF behind the last chunk", "0\n\r\n"),
    IN_BODY("bare LF as the end of the trailers", "0\r\n\n"),
    IN_BODY("request instead of trailers", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    IN_BODY("trailer without colon", "0\r\nabc\r\n\r\n"),
    IN_BODY("trailer without name", "0\r\n: b\r\n\r\n"),
    IN_BODY("folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
    IN_BODY("blank before the colon of a trailer", "0\r\nA : b\r\n\r\n"),
    IN_BODY("control character in a trailer", "0\r\nA: \x01\r\n\r\n"),
    IN_BODY("bare LF in a trailer", "0\r\nA: b\n\r\n"),
    IN_BODY("endless trailers", "0\r\n" TIMES_1000("A: 67890\r\n")),
};
#pragma GCC diagnostic pop

#undef IN_HEAD
#undef IN_BODY
#undef GET
#undef POST
#undef CHUNKED
#undef TIMES_10
#undef TIMES_100
#undef TIMES_1000
