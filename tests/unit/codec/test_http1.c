/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "codec/http1.h"

static struct http1_head head;

static int request(const char *text)
{
    enum http1_reason why = HTTP1_OK;
    int n = http1_parse_request(text, strlen(text), &head, &why);

    return n < 0 ? -(int)why : n;
}

static int response(const char *text, bool to_head)
{
    enum http1_reason why = HTTP1_OK;
    int n = http1_parse_response(text, strlen(text), to_head, &head, &why);

    return n < 0 ? -(int)why : n;
}

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_true(str_eq(got, str_from(want)));
}

/* --- requests --- */

static void good_heads_are_accepted_whole_and_byte_by_byte(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "M!#$%&'*+-.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a=b&c=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //a/../b;c?\"<>\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 49983-ab_C-9.e2b.example.:65535\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nX:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9 \xff\t\"x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a:b: c\r\nX: again\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t n = strlen(good[i]);
        for (size_t fed = 0; fed < n; fed++) {
            enum http1_reason why;
            AUTO_FREE char *copy = malloc(fed + 1);
            assert_non_null(copy);
            memcpy(copy, good[i], fed);
            assert_int_equal(http1_parse_request(copy, fed, &head, &why), 0);
        }
        assert_int_equal(request(good[i]), n);
    }
}

static void head_borrows_names_and_values_without_their_blanks(void **state)
{
    (void)state;
    const char *text = "PUT /a?b HTTP/1.1\r\nHost: h:1\r\nX-Y:\t z w \r\nE:\r\n\r\nbody";

    assert_int_equal(request(text), strlen(text) - 4);
    assert_false(head.is_response);
    assert_str(head.method, "PUT");
    assert_str(head.target, "/a?b");
    assert_str(head.host, "h:1");
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.n_headers, 3);
    assert_str(head.header[1].name, "X-Y");
    assert_str(head.header[1].value, "z w");
    assert_str(head.header[2].name, "E");
    assert_int_equal(head.header[2].value.n, 0);
    assert_ptr_equal(head.header[1].name.p, strstr(text, "X-Y"));
}

static void framing_follows_from_the_two_headers(void **state)
{
    (void)state;
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP1_NO_BODY);
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP1_LENGTH);
    assert_true(head.content_length == 17);
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\ncontent-length:0\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP1_LENGTH);
    assert_true(head.content_length == 0);
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\nTRANSFER-encoding: chunked\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP1_CHUNKED);
}

static void nothing_is_left_over_from_the_head_parsed_before(void **state)
{
    (void)state;
    assert_true(
        request("POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n"
                "Expect: 100-continue\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n") >
        0);
    assert_true(head.expect_continue);
    assert_true(head.upgrade_websocket);
    assert_true(request("GET / HTTP/1.0\r\n\r\n") > 0);
    assert_false(head.expect_continue);
    assert_false(head.upgrade_websocket);
    assert_false(head.keep_alive);
    assert_int_equal(head.host.n, 0);
    assert_int_equal(head.n_headers, 0);
    assert_true(head.content_length == 0);
    assert_int_equal(head.framing, HTTP1_NO_BODY);
}

static void connection_stays_open_as_the_version_and_the_peer_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep_alive;
    } c[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true },
        { "GET / HTTP/1.0\r\n\r\n", false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
        { "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_true(request(c[i].text) > 0);
        assert_int_equal(head.keep_alive, c[i].keep_alive);
    }
}

static void websocket_needs_both_headers_and_version_1_1(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool upgrade;
    } c[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
          "WebSocket\r\n\r\n",
          true },
        { "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", false },
        { "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_true(request(c[i].text) > 0);
        assert_int_equal(head.upgrade_websocket, c[i].upgrade);
    }
}

static void expectation_counts_in_http_1_1_only(void **state)
{
    (void)state;
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n") > 0);
    assert_true(head.expect_continue);
    assert_true(request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n") > 0);
    assert_false(head.expect_continue);
}

static void every_limit_is_reached_exactly(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(HTTP1_HEAD_MAX + 1);

    buf_addf(&b, "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", (int)HTTP1_TARGET_MAX - 1, 0);
    assert_int_equal(request(buf_cstr(&b)), b.n);
    buf_clear(&b);
    buf_add_cstr(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 1; i < HTTP1_HEADERS_MAX; i++)
        buf_add_cstr(&b, "A: b\r\n");
    buf_add_cstr(&b, "\r\n");
    assert_int_equal(request(buf_cstr(&b)), b.n);
    assert_int_equal(head.n_headers, HTTP1_HEADERS_MAX);
    buf_clear(&b);
    buf_add_cstr(&b, "GET / HTTP/1.1\r\nHost: a\r\nA: ");
    buf_addf(&b, "%0*d\r\n\r\n", (int)(HTTP1_HEAD_MAX - b.n - 4), 0);
    assert_int_equal(b.n, HTTP1_HEAD_MAX);
    assert_int_equal(request(buf_cstr(&b)), b.n);
    b.p[30] = '0'; /* one byte more */
    buf_truncate(&b, b.n - 4);
    buf_add_cstr(&b, "0\r\n\r\n");
    assert_int_equal(request(buf_cstr(&b)), -(int)HTTP1_HEAD_TOO_LARGE);
}

static void second_request_in_the_buffer_is_left_alone(void **state)
{
    (void)state;
    const char *one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    assert_int_equal(request("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /\n"), strlen(one));
}

/* --- responses --- */

static void response_body_ends_where_the_rfc_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool to_head;
        enum http1_framing framing;
        bool keep_alive;
    } c[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, HTTP1_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, HTTP1_NO_BODY, true },
        { "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false, HTTP1_CHUNKED, true },
        { "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", true, HTTP1_NO_BODY, true },
        { "HTTP/1.1 200 OK\r\n\r\n", false, HTTP1_UNTIL_CLOSE, false },
        { "HTTP/1.1 200 OK\r\n\r\n", true, HTTP1_NO_BODY, true },
        { "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n", false, HTTP1_NO_BODY,
          true },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, HTTP1_NO_BODY, true },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, HTTP1_NO_BODY,
          true },
        { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false,
          HTTP1_LENGTH, false },
        { "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, HTTP1_LENGTH, false },
        { "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", false,
          HTTP1_LENGTH, true },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(response(c[i].text, c[i].to_head), strlen(c[i].text));
        assert_int_equal(head.framing, c[i].framing);
        assert_int_equal(head.keep_alive, c[i].keep_alive);
    }
}

static void response_needs_no_host_and_may_have_two(void **state)
{
    (void)state;
    assert_true(response("HTTP/1.1 599 \xc3\xa4 b\r\nHost: a\r\nHost: b/c\r\nExpect: x\r\n\r\n",
                         false) > 0);
    assert_true(head.is_response);
    assert_int_equal(head.status, 599);
}

static void hostile_responses_are_refused_for_the_named_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http1_reason why;
    } c[] = {
        { "HTTP/1.1 2000 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1 20 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1 20\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1 099 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1 600 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1 +20 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1  200 OK\r\n", HTTP1_BAD_STATUS },
        { "HTTP/1.1\t200 OK\r\n", HTTP1_BAD_STATUS },
        { "\r\nHTTP/1.1 200 OK\r\n", HTTP1_BAD_STATUS },
        { "GET / HTTP/1.1\r\n", HTTP1_BAD_STATUS },
        { "HTTP/2.0 200 OK\r\n", HTTP1_BAD_VERSION },
        { "ICY/1.1. 200 OK\r\n", HTTP1_BAD_START_LINE },
        { "HTTP/1.1 200 OK\n", HTTP1_BARE_LF },
        { "HTTP/1.1 200 O\rK", HTTP1_BARE_CR },
        { "HTTP/1.1 200 \x1b[2J", HTTP1_CONTROL_CHARACTER },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n", HTTP1_TWO_LENGTHS },
        { "HTTP/1.1 204 OK\r\nContent-Length: 1, 1\r\n", HTTP1_BAD_LENGTH },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
          HTTP1_LENGTH_AND_CHUNKED },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", HTTP1_UNKNOWN_TRANSFER_CODING },
        { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", HTTP1_BAD_TRANSFER_ENCODING },
        { "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n", HTTP1_OBS_FOLD },
        { "HTTP/1.1 200 OK\r\nA : b\r\n", HTTP1_BAD_HEADER_NAME },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        assert_int_equal(response(c[i].text, false), -(int)c[i].why);
}

/* --- asking a head --- */

static void get_finds_the_first_of_any_case_and_tells_empty_from_absent(void **state)
{
    (void)state;
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nEmpty:\r\n\r\n") > 0);
    assert_str(http1_get(&head, "x"), "1");
    assert_int_equal(http1_get(&head, "empty").n, 0);
    assert_non_null(http1_get(&head, "EMPTY").p);
    assert_null(http1_get(&head, "absent").p);
}

static void token_is_looked_for_in_every_list_of_that_name(void **state)
{
    (void)state;
    assert_true(request("GET / HTTP/1.1\r\nHost: a\r\nL: a,\tb , ,c\r\nl: D\r\nM: e\r\n\r\n") >
                0);
    assert_true(http1_has_token(&head, "l", "a"));
    assert_true(http1_has_token(&head, "l", "B"));
    assert_true(http1_has_token(&head, "l", "c"));
    assert_true(http1_has_token(&head, "l", "d"));
    assert_false(http1_has_token(&head, "l", "e"));
    assert_false(http1_has_token(&head, "l", "a,\tb"));
    assert_false(http1_has_token(&head, "z", "a"));
}

static void every_reason_has_a_sentence_of_its_own_and_an_error_status(void **state)
{
    (void)state;
    for (unsigned r = 1; r <= HTTP1_UNKNOWN_TRANSFER_CODING; r++) {
        unsigned status = http1_reason_status((enum http1_reason)r);
        assert_in_range(status, 400, 599);
        assert_string_not_equal(http1_status_text(status), "Unknown");
        for (unsigned q = 0; q < r; q++)
            assert_string_not_equal(http1_reason((enum http1_reason)r),
                                    http1_reason((enum http1_reason)q));
    }
    assert_int_equal(http1_reason_status((enum http1_reason)99), 400);
    assert_string_equal(http1_reason((enum http1_reason)99), "malformed");
}

static void statuses_have_their_registered_names(void **state)
{
    (void)state;
    assert_string_equal(http1_status_text(200), "OK");
    assert_string_equal(http1_status_text(404), "Not Found");
    assert_string_equal(http1_status_text(507), "Insufficient Storage");
    assert_string_equal(http1_status_text(299), "Unknown");
}

/* --- chunks --- */

/* Decodes text in pieces of `step` bytes; the bytes consumed, or -1. */
static long decode(const char *text, size_t step, struct buf *out, bool *done)
{
    struct http1_chunked d = { 0 };
    struct str data;
    size_t n = strlen(text), at = 0;

    while (at < n && !d.done) {
        size_t piece = n - at < step ? n - at : step;
        AUTO_FREE char *copy = malloc(piece);
        assert_non_null(copy);
        memcpy(copy, text + at, piece);
        long r = http1_chunked_decode(&d, copy, piece, &data);
        if (r < 0)
            return -1;
        assert_true(r > 0 && (size_t)r <= piece);
        assert_true(data.n == 0 || (data.p >= copy && data.p + data.n <= copy + r));
        buf_add_str(out, data);
        at += (size_t)r;
    }
    *done = d.done;
    return (long)at;
}

static void chunks_give_the_same_bytes_however_they_arrive(void **state)
{
    (void)state;
    const char *text = "5\r\nhello\r\n"
                       "0000000000000001;a=b;c=\"d\x80\"\r\n,\r\n"
                       "a\r\n\r\n world\r\n\r\n"
                       "0;last\r\nA: b\r\nB:\r\n\r\n";
    AUTO_BUF struct buf all = BUF_INIT(1000);

    buf_add_cstr(&all, text);
    buf_add_cstr(&all, "GET / HTTP/1.1\r\n");
    for (size_t step = 1; step < all.n + 1; step++) {
        AUTO_BUF struct buf b = BUF_INIT(100);
        bool done = false;
        assert_int_equal(decode(buf_cstr(&all), step, &b, &done), strlen(text));
        assert_true(done);
        assert_string_equal(buf_cstr(&b), "hello,\r\n world\r\n");
    }
}

static void body_without_its_last_chunk_is_not_done(void **state)
{
    (void)state;
    static const char *const part[] = { "5",     "5\r\nhell",     "5\r\nhello\r\n",
                                        "0\r\n", "0\r\nA: b\r\n", "0\r\n\r" };

    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        AUTO_BUF struct buf b = BUF_INIT(100);
        bool done = true;
        assert_int_equal(decode(part[i], 1, &b, &done), strlen(part[i]));
        assert_false(done);
    }
}

static void largest_chunk_is_one_that_fits_a_signed_number(void **state)
{
    (void)state;
    struct http1_chunked d = { 0 };
    struct str data;

    assert_int_equal(http1_chunked_decode(&d, "7fffffffffffffff\r\nab", 20, &data), 20);
    assert_str(data, "ab");
    assert_true(d.left == INT64_MAX - 2);
}

static void decoder_that_refused_once_refuses_for_ever(void **state)
{
    (void)state;
    struct http1_chunked d = { 0 };
    struct str data;

    assert_int_equal(http1_chunked_decode(&d, "x", 1, &data), -1);
    assert_int_equal(http1_chunked_decode(&d, "0\r\n\r\n", 5, &data), -1);
    assert_false(d.done);
}

static void decoder_that_is_done_consumes_nothing(void **state)
{
    (void)state;
    struct http1_chunked d = { 0 };
    struct str data;

    assert_int_equal(http1_chunked_decode(&d, "0\r\n\r\n", 5, &data), 5);
    assert_true(d.done);
    assert_int_equal(http1_chunked_decode(&d, "0\r\n\r\n", 5, &data), 0);
    assert_int_equal(data.n, 0);
}

static void extensions_and_trailers_reach_their_limit_exactly(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(20000);
    AUTO_BUF struct buf none = BUF_INIT(1);
    bool done = false;

    buf_addf(&b, "0;%0*d\r\n", (int)HTTP1_CHUNK_EXT_MAX - 2, 0);
    for (size_t i = 0; i < HTTP1_TRAILER_MAX / 64 - 1; i++)
        buf_addf(&b, "A:%061d\r\n", 0); /* 64 bytes are counted: LF is not */
    buf_addf(&b, "A:%060d\r\n\r\n", 0); /* and the last CR is */
    assert_int_equal(decode(buf_cstr(&b), b.n, &none, &done), b.n);
    assert_true(done);
    b.p[b.n - 4] = '0'; /* over the last line's CR: one byte too many */
    buf_truncate(&b, b.n - 3);
    buf_add_cstr(&b, "\r\n\r\n");
    assert_int_equal(decode(buf_cstr(&b), b.n, &none, &done), -1);
    buf_clear(&b);
    buf_addf(&b, "0;%0*d\r\n\r\n", (int)HTTP1_CHUNK_EXT_MAX - 1, 0);
    assert_int_equal(decode(buf_cstr(&b), b.n, &none, &done), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_heads_are_accepted_whole_and_byte_by_byte),
        cmocka_unit_test(head_borrows_names_and_values_without_their_blanks),
        cmocka_unit_test(framing_follows_from_the_two_headers),
        cmocka_unit_test(nothing_is_left_over_from_the_head_parsed_before),
        cmocka_unit_test(connection_stays_open_as_the_version_and_the_peer_say),
        cmocka_unit_test(websocket_needs_both_headers_and_version_1_1),
        cmocka_unit_test(expectation_counts_in_http_1_1_only),
        cmocka_unit_test(every_limit_is_reached_exactly),
        cmocka_unit_test(second_request_in_the_buffer_is_left_alone),
        cmocka_unit_test(response_body_ends_where_the_rfc_says),
        cmocka_unit_test(response_needs_no_host_and_may_have_two),
        cmocka_unit_test(hostile_responses_are_refused_for_the_named_reason),
        cmocka_unit_test(get_finds_the_first_of_any_case_and_tells_empty_from_absent),
        cmocka_unit_test(token_is_looked_for_in_every_list_of_that_name),
        cmocka_unit_test(every_reason_has_a_sentence_of_its_own_and_an_error_status),
        cmocka_unit_test(statuses_have_their_registered_names),
        cmocka_unit_test(chunks_give_the_same_bytes_however_they_arrive),
        cmocka_unit_test(body_without_its_last_chunk_is_not_done),
        cmocka_unit_test(largest_chunk_is_one_that_fits_a_signed_number),
        cmocka_unit_test(decoder_that_refused_once_refuses_for_ever),
        cmocka_unit_test(decoder_that_is_done_consumes_nothing),
        cmocka_unit_test(extensions_and_trailers_reach_their_limit_exactly),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
