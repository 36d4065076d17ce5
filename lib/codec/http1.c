/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/http1.h"

#include <string.h>

#include "base/auto.h"
#include "base/num.h"

static const struct {
    unsigned status;
    const char *text;
} reasons[] = {
    [HTTP1_OK] = { 200, "no error" },
    [HTTP1_BAD_START_LINE] = { 400, "the request line is not 'METHOD target HTTP/1.1'" },
    [HTTP1_BAD_METHOD] = { 400, "the method is not a token" },
    [HTTP1_BAD_TARGET] = { 400, "the request target must start with '/' and hold visible ASCII "
                                "only" },
    [HTTP1_TARGET_TOO_LONG] = { 414, "the request target is too long" },
    [HTTP1_BAD_VERSION] = { 505, "only HTTP/1.0 and HTTP/1.1 are served" },
    [HTTP1_BARE_LF] = { 400, "a line ends in LF without CR" },
    [HTTP1_BARE_CR] = { 400, "a CR without LF" },
    [HTTP1_CONTROL_CHARACTER] = { 400, "a control character in a header" },
    [HTTP1_OBS_FOLD] = { 400, "a folded header line" },
    [HTTP1_BAD_HEADER_NAME] = { 400, "a header name is empty, or has a blank before the colon, "
                                     "or is not a token" },
    [HTTP1_TOO_MANY_HEADERS] = { 431, "too many header fields" },
    [HTTP1_HEAD_TOO_LARGE] = { 431, "the message head is too large" },
    [HTTP1_NO_HOST] = { 400, "the Host header is missing" },
    [HTTP1_TWO_HOSTS] = { 400, "more than one Host header" },
    [HTTP1_BAD_HOST] = { 400, "the Host header is not a host name and port" },
    [HTTP1_BAD_LENGTH] = { 400, "Content-Length is not a decimal number" },
    [HTTP1_TWO_LENGTHS] = { 400, "more than one Content-Length" },
    [HTTP1_LENGTH_AND_CHUNKED] = { 400, "both Content-Length and Transfer-Encoding" },
    [HTTP1_BAD_TRANSFER_ENCODING] = { 400, "Transfer-Encoding must be 'chunked', once, in "
                                           "HTTP/1.1" },
    [HTTP1_BAD_EXPECT] = { 417, "the only expectation served is 100-continue" },
    [HTTP1_BAD_STATUS] = { 502, "the status line is malformed" },
    [HTTP1_UNKNOWN_TRANSFER_CODING] = { 501, "the only transfer coding served is chunked" },
};

const char *http1_reason(enum http1_reason r)
{
    return (size_t)r < ARRAY_LEN(reasons) ? reasons[r].text : "malformed";
}

unsigned http1_reason_status(enum http1_reason r)
{
    return (size_t)r < ARRAY_LEN(reasons) ? reasons[r].status : 400;
}

static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char(s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

/* --- lines --- */

struct reader {
    const char *p;
    size_t n, at;
    size_t line_max;        /* bytes of the current line, and ... */
    enum http1_reason over; /* ... what a longer one is refused for */
    enum http1_reason why;
};

enum line { LINE_OK, LINE_MORE, LINE_BAD };

/* Takes one line that ends in CRLF. A byte that can never be part of a line is reported at
 * once. */
static enum line next_line(struct reader *r, struct str *line)
{
    for (size_t i = r->at; i < r->n; i++) {
        unsigned char c = (unsigned char)r->p[i];
        if (i - r->at > r->line_max) {
            r->why = r->over;
            return LINE_BAD;
        }
        if (c == '\n') {
            r->why = HTTP1_BARE_LF;
            return LINE_BAD;
        }
        if (c == '\r') {
            if (i + 1 == r->n)
                return LINE_MORE;
            if (r->p[i + 1] != '\n') {
                r->why = HTTP1_BARE_CR;
                return LINE_BAD;
            }
            *line = (struct str){ r->p + r->at, i - r->at };
            r->at = i + 2;
            return LINE_OK;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            r->why = HTTP1_CONTROL_CHARACTER;
            return LINE_BAD;
        }
    }
    return LINE_MORE;
}

/* --- header fields --- */

struct seen {
    unsigned hosts, lengths, codings;
};

/* A name, IPv4 or [IPv6], and an optional port; also the empty value that HTTP/1.1 allows is
 * refused, since we route by it. */
static bool host_ok(struct str v)
{
    static const char in_name[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    static const char in_ipv6[] = "0123456789abcdefABCDEF:.";
    uint64_t port;

    if (v.n == 0 || v.n > 255)
        return false;
    bool bracket = v.p[0] == '[';
    size_t begin = bracket ? 1 : 0;
    size_t i = begin;
    const char *allowed = bracket ? in_ipv6 : in_name;
    while (i < v.n && v.p[i] != 0 && strchr(allowed, v.p[i]))
        i++;
    if (i == begin || (bracket && (i == v.n || v.p[i] != ']')))
        return false;
    i += begin; /* the closing bracket */
    return i == v.n ||
           (v.p[i] == ':' && num_parse_u64(str_sub(v, i + 1, v.n), 0, 65535, &port) == 0);
}

/* "gzip" and "gzip, chunked" are HTTP that we do not speak; whatever else is not "chunked" is
 * not HTTP. */
static enum http1_reason check_coding(struct str v)
{
    struct str first, rest;

    if (str_eq_nocase(v, STR("chunked")))
        return HTTP1_OK;
    bool is_list = str_cut(v, ',', &first, &rest);
    first = str_trim(first);
    if (!is_token(first) || str_eq_nocase(first, STR("chunked")) ||
        (is_list && !str_eq_nocase(str_trim(rest), STR("chunked"))))
        return HTTP1_BAD_TRANSFER_ENCODING;
    return HTTP1_UNKNOWN_TRANSFER_CODING;
}

static enum http1_reason take_host(struct http1_head *h, struct str value, struct seen *seen)
{
    if (h->is_response)
        return HTTP1_OK;
    if (seen->hosts++ > 0)
        return HTTP1_TWO_HOSTS;
    h->host = value;
    return host_ok(value) ? HTTP1_OK : HTTP1_BAD_HOST;
}

static enum http1_reason take_length(struct http1_head *h, struct str value, struct seen *seen)
{
    if (seen->lengths++ > 0)
        return HTTP1_TWO_LENGTHS;
    if (value.n > 19 || num_parse_u64(value, 0, INT64_MAX, &h->content_length) < 0)
        return HTTP1_BAD_LENGTH;
    return seen->codings > 0 ? HTTP1_LENGTH_AND_CHUNKED : HTTP1_OK;
}

static enum http1_reason take_coding(struct http1_head *h, struct str value, struct seen *seen)
{
    if (seen->codings++ > 0 || h->minor == 0)
        return HTTP1_BAD_TRANSFER_ENCODING;
    enum http1_reason why = check_coding(value);
    return why == HTTP1_OK && seen->lengths > 0 ? HTTP1_LENGTH_AND_CHUNKED : why;
}

static enum http1_reason take_expect(struct http1_head *h, struct str value, struct seen *seen)
{
    (void)seen;
    if (h->is_response)
        return HTTP1_OK;
    h->expect_continue = h->minor == 1;
    return str_eq_nocase(value, STR("100-continue")) ? HTTP1_OK : HTTP1_BAD_EXPECT;
}

static enum http1_reason check_field(struct http1_head *h, const struct http1_header *f,
                                     struct seen *seen)
{
    static const struct {
        const char *name;
        enum http1_reason (*take)(struct http1_head *h, struct str value, struct seen *seen);
    } known[] = {
        { "host", take_host },
        { "content-length", take_length },
        { "transfer-encoding", take_coding },
        { "expect", take_expect },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(f->name, str_from(known[i].name)))
            return known[i].take(h, f->value, seen);
    return HTTP1_OK;
}

static enum http1_reason add_field(struct http1_head *h, struct str line, struct seen *seen)
{
    struct str name, value;

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return HTTP1_OBS_FOLD;
    if (!str_cut(line, ':', &name, &value) || !is_token(name))
        return HTTP1_BAD_HEADER_NAME;
    if (h->n_headers == HTTP1_HEADERS_MAX)
        return HTTP1_TOO_MANY_HEADERS;
    struct http1_header *f = &h->header[h->n_headers++];
    *f = (struct http1_header){ name, str_trim(value) };
    return check_field(h, f, seen);
}

/* By definition without a body, whatever the fields say (RFC 9112 §6.3). */
static bool has_no_body(const struct http1_head *h, bool to_head)
{
    return h->is_response &&
           (to_head || h->status < 200 || h->status == 204 || h->status == 304);
}

static enum http1_reason finish(struct http1_head *h, const struct seen *seen, bool to_head)
{
    if (!h->is_response && h->minor == 1 && seen->hosts == 0)
        return HTTP1_NO_HOST;
    if (has_no_body(h, to_head))
        h->framing = HTTP1_NO_BODY;
    else if (seen->codings > 0)
        h->framing = HTTP1_CHUNKED;
    else if (seen->lengths > 0)
        h->framing = HTTP1_LENGTH;
    else
        h->framing = h->is_response ? HTTP1_UNTIL_CLOSE : HTTP1_NO_BODY;
    bool close = http1_has_token(h, "connection", "close") || h->framing == HTTP1_UNTIL_CLOSE;
    h->keep_alive = !close && (h->minor == 1 || http1_has_token(h, "connection", "keep-alive"));
    h->upgrade_websocket = h->minor == 1 && http1_has_token(h, "connection", "upgrade") &&
                           http1_has_token(h, "upgrade", "websocket");
    return HTTP1_OK;
}

/* --- start lines --- */

static enum http1_reason version(struct str v, unsigned *minor)
{
    if (v.n != 8 || !str_starts(v, STR("HTTP/")) || v.p[6] != '.' || v.p[5] < '0' ||
        v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9')
        return HTTP1_BAD_START_LINE;
    if (v.p[5] != '1' || v.p[7] > '1')
        return HTTP1_BAD_VERSION;
    *minor = (unsigned)(v.p[7] - '0');
    return HTTP1_OK;
}

static enum http1_reason request_line(struct http1_head *h, struct str line)
{
    struct str rest, ver;

    if (!str_cut(line, ' ', &h->method, &rest))
        return HTTP1_BAD_START_LINE;
    if (!is_token(h->method) || h->method.n > 32)
        return HTTP1_BAD_METHOD;
    if (!str_cut(rest, ' ', &h->target, &ver))
        return HTTP1_BAD_START_LINE;
    if (h->target.n > HTTP1_TARGET_MAX)
        return HTTP1_TARGET_TOO_LONG;
    enum http1_reason why =
        version(ver, &h->minor); /* before the target: "PRI * HTTP/2.0" is told what is wrong */
    if (why != HTTP1_OK)
        return why;
    bool asterisk = str_eq(h->target, STR("*")) && str_eq(h->method, STR("OPTIONS"));
    if (!asterisk && (h->target.n == 0 || h->target.p[0] != '/'))
        return HTTP1_BAD_TARGET;
    size_t at;
    if (!is_visible(h->target) || str_find(h->target, '#', &at))
        return HTTP1_BAD_TARGET;
    return HTTP1_OK;
}

static enum http1_reason status_line(struct http1_head *h, struct str line)
{
    uint64_t status;
    enum http1_reason why;

    if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' '))
        return HTTP1_BAD_STATUS;
    why = version(str_sub(line, 0, 8), &h->minor);
    if (why != HTTP1_OK)
        return why;
    if (num_parse_u64(str_sub(line, 9, 3), 100, 599, &status) < 0)
        return HTTP1_BAD_STATUS;
    h->status = (unsigned)status;
    return HTTP1_OK;
}

/* --- heads --- */

static int refuse(enum http1_reason *why, enum http1_reason reason)
{
    *why = reason;
    return -1;
}

static int parse_head(struct reader *r, bool to_head, struct http1_head *h,
                      enum http1_reason *why)
{
    struct seen seen = { 0 };
    struct str line;
    bool first = true;

    for (;; first = false) {
        enum line got = next_line(r, &line);
        if (got == LINE_MORE)
            return r->n == HTTP1_HEAD_MAX ? refuse(why, HTTP1_HEAD_TOO_LARGE) : 0;
        if (got == LINE_BAD)
            return refuse(why, r->why);
        if (line.n == 0 && !first)
            break;
        enum http1_reason bad = !first           ? add_field(h, line, &seen)
                                : h->is_response ? status_line(h, line)
                                                 : request_line(h, line);
        if (bad != HTTP1_OK)
            return refuse(why, bad);
        r->line_max = HTTP1_HEAD_MAX;
    }
    enum http1_reason bad = finish(h, &seen, to_head);
    return bad != HTTP1_OK ? refuse(why, bad) : (int)r->at;
}

/* Everything but the header array, of which only the first n_headers are ever looked at. */
static void reset(struct http1_head *h, bool is_response)
{
    h->is_response = is_response;
    h->method = h->target = h->host = (struct str){ NULL, 0 };
    h->status = 0;
    h->minor = 0;
    h->n_headers = 0;
    h->framing = HTTP1_NO_BODY;
    h->content_length = 0;
    h->keep_alive = h->expect_continue = h->upgrade_websocket = false;
}

static size_t at_most(size_t n, size_t max)
{
    return n < max ? n : max;
}

int http1_parse_request(const char *p, size_t n, struct http1_head *head,
                        enum http1_reason *why)
{
    /* A request line longer than any that could be accepted is refused without waiting for its
     * end. */
    struct reader r = {
        p, at_most(n, HTTP1_HEAD_MAX), 0, HTTP1_TARGET_MAX + 64, HTTP1_TARGET_TOO_LONG, HTTP1_OK
    };

    reset(head, false);
    if (r.n >= 2 && p[0] == '\r' && p[1] == '\n')
        r.at = 2;
    return parse_head(&r, false, head, why);
}

int http1_parse_response(const char *p, size_t n, bool to_head, struct http1_head *head,
                         enum http1_reason *why)
{
    struct reader r = {
        p, at_most(n, HTTP1_HEAD_MAX), 0, HTTP1_HEAD_MAX, HTTP1_HEAD_TOO_LARGE, HTTP1_OK
    };

    reset(head, true);
    return parse_head(&r, to_head, head, why);
}

struct str http1_get(const struct http1_head *head, const char *name)
{
    struct str want = str_from(name);

    for (size_t i = 0; i < head->n_headers; i++)
        if (str_eq_nocase(head->header[i].name, want))
            return head->header[i].value;
    return (struct str){ NULL, 0 };
}

static bool list_has(struct str list, struct str token)
{
    struct str item;

    do {
        (void)str_cut(list, ',', &item, &list);
        if (str_eq_nocase(str_trim(item), token))
            return true;
    } while (list.n > 0);
    return false;
}

bool http1_has_token(const struct http1_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (str_eq_nocase(head->header[i].name, str_from(name)) &&
            list_has(head->header[i].value, str_from(token)))
            return true;
    return false;
}

const char *http1_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } known[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 499, "Client Closed Request" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].status == status)
            return known[i].text;
    return "Unknown";
}

/* --- chunked --- */

enum chunk_state {
    CHUNK_SIZE,    /* hexadecimal digits */
    CHUNK_EXT,     /* after the size, up to CR */
    CHUNK_SIZE_LF, /* after that CR */
    CHUNK_DATA,
    CHUNK_DATA_CR, /* after the data */
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START, /* at the start of a trailer line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF, /* after the CR of the empty line */
    CHUNK_DONE,
    CHUNK_BAD
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_text(char c)
{
    return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
}

/* One byte of a size line. `line` counts its bytes; the first must be a digit, at most 16 are.
 */
static int size_byte(struct http1_chunked *d, char c)
{
    int v = hex_digit(c);

    if (d->state == CHUNK_SIZE && v >= 0) {
        if (d->line >= 16 || d->left > INT64_MAX >> 4)
            return -1; /* a size that fits no signed integer is a trap for whoever adds it up */
        d->left = d->left << 4 | (uint64_t)v;
        d->line++;
        return 0;
    }
    if (d->line == 0)
        return -1;
    if (c == '\r') {
        d->state = CHUNK_SIZE_LF;
        return 0;
    }
    if (d->state == CHUNK_SIZE && c != ';')
        return -1;
    if (!is_text(c) || d->line++ >= HTTP1_CHUNK_EXT_MAX)
        return -1;
    d->state = CHUNK_EXT;
    return 0;
}

static int trailer_byte(struct http1_chunked *d, char c)
{
    if (d->line++ >= HTTP1_TRAILER_MAX)
        return -1;
    if (d->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r')
            d->state = CHUNK_TRAILER_LF;
        return c == '\r' || is_text(c) ? 0 : -1;
    }
    if (c == '\r' && d->state == CHUNK_TRAILER_START)
        d->state = CHUNK_END_LF;
    else if (c == ':' && d->state == CHUNK_TRAILER_NAME)
        d->state = CHUNK_TRAILER_VALUE;
    else if (is_token_char(c))
        d->state = CHUNK_TRAILER_NAME;
    else
        return -1;
    return 0;
}

static int line_feed(struct http1_chunked *d, char c)
{
    if (c != '\n')
        return -1;
    switch ((enum chunk_state)d->state) {
    case CHUNK_SIZE_LF:
        d->state = d->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
        d->line = 0;
        return 0;
    case CHUNK_DATA_LF:
        d->state = CHUNK_SIZE;
        d->line = 0;
        return 0;
    case CHUNK_TRAILER_LF:
        d->state = CHUNK_TRAILER_START;
        return 0;
    case CHUNK_END_LF:
        d->state = CHUNK_DONE;
        d->done = true;
        return 0;
    case CHUNK_SIZE:
    case CHUNK_EXT:
    case CHUNK_DATA:
    case CHUNK_DATA_CR:
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
    case CHUNK_DONE:
    case CHUNK_BAD:
        break;
    }
    return -1;
}

static int control_byte(struct http1_chunked *d, char c)
{
    switch ((enum chunk_state)d->state) {
    case CHUNK_SIZE:
    case CHUNK_EXT:
        return size_byte(d, c);
    case CHUNK_DATA_CR:
        d->state = CHUNK_DATA_LF;
        return c == '\r' ? 0 : -1;
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return trailer_byte(d, c);
    case CHUNK_SIZE_LF:
    case CHUNK_DATA_LF:
    case CHUNK_TRAILER_LF:
    case CHUNK_END_LF:
        return line_feed(d, c);
    case CHUNK_DATA:
    case CHUNK_DONE:
    case CHUNK_BAD:
        break;
    }
    return -1;
}

long http1_chunked_decode(struct http1_chunked *d, const char *p, size_t n, struct str *data)
{
    size_t at = 0;

    *data = (struct str){ NULL, 0 };
    while (at < n && d->state != CHUNK_DONE) {
        if (d->state == CHUNK_DATA) {
            size_t run = n - at < d->left ? n - at : (size_t)d->left;
            *data = (struct str){ p + at, run };
            d->left -= run;
            if (d->left == 0)
                d->state = CHUNK_DATA_CR;
            return (long)(at + run);
        }
        if (control_byte(d, p[at]) < 0) {
            d->state = CHUNK_BAD;
            return -1;
        }
        at++;
    }
    return (long)at;
}

long http1_chunked_decode_in_place(struct http1_chunked *d, char *p, size_t n, size_t *data_n)
{
    size_t used = 0;

    *data_n = 0;
    while (used < n && !d->done) {
        struct str data;
        long r = http1_chunked_decode(d, p + used, n - used, &data);
        if (r < 0)
            return -1;
        if (data.n > 0)
            memmove(p + *data_n, data.p, data.n);
        *data_n += data.n;
        used += (size_t)r;
    }
    return (long)used;
}
