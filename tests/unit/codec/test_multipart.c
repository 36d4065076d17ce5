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
#include "codec/multipart.h"

static struct multipart m;

static void init(const char *content_type)
{
    assert_int_equal(multipart_init(&m, str_from(content_type)), 0);
}

/* What the events say, as text: "<name|filename>data</>" for each part, "." at the end, "!" when refused. */
static void feed(struct str bytes, struct buf *log)
{
    AUTO_FREE char *copy = malloc(bytes.n + 1);
    enum multipart_event ev;
    struct str data = { NULL, 0 };

    assert_non_null(copy);
    memcpy(copy, bytes.p, bytes.n);
    struct str in = { copy, bytes.n };
    while ((ev = multipart_next(&m, &in, &data)) != MULTIPART_NEED_MORE) {
        if (ev == MULTIPART_PART) {
            buf_addf(log, m.has_filename ? "<%s|%s>" : "<%s>", m.name, m.filename);
        } else if (ev == MULTIPART_DATA) {
            assert_true(data.n > 0);
            buf_add_str(log, data);
        } else if (ev == MULTIPART_PART_END) {
            buf_add_cstr(log, "</>");
        } else if (ev == MULTIPART_END) {
            buf_add_char(log, '.');
        } else {
            buf_add_char(log, '!');
            assert_non_null(m.bad);
            return;
        }
    }
    assert_int_equal(in.n, 0);
}

/* However the bytes are cut, the events say the same. */
static void assert_reads(struct str bytes, const char *want)
{
    for (size_t step = 1; step <= bytes.n; step++) {
        AUTO_BUF struct buf log = BUF_INIT(20000);
        init("multipart/form-data; boundary=b");
        for (size_t at = 0; at < bytes.n && m.bad == NULL; at += step)
            feed(str_sub(bytes, at, step), &log);
        assert_string_equal(buf_cstr(&log), want);
    }
}

static void assert_refuses_head(const char *head, const char *why)
{
    AUTO_BUF struct buf b = BUF_INIT(20000);
    AUTO_BUF struct buf log = BUF_INIT(20000);

    init("multipart/form-data; boundary=b");
    buf_addf(&b, "--b\r\n%s\r\n\r\nx\r\n--b--", head);
    feed(buf_str(&b), &log);
    assert_string_equal(buf_cstr(&log), "!");
    assert_string_equal(m.bad, why);
}

#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"

#define PART(params) "--b\r\nContent-Disposition: form-data; " params "\r\n\r\n"

static void parts_are_read_the_same_however_the_bytes_are_cut(void **state)
{
    (void)state;
    assert_reads(STR(PART("name=\"a\"") "one\r\n" PART(
                     "name=file; filename=\"x/y.txt\"") "t\r\nw\r\no"
                                                        "\r\n--b--\r\n"),
                 "<a>one</><file|x/y.txt>t\r\nw\r\no</>.");
    assert_reads(STR(PART("name=a") "\r\n--b--"), "<a></>.");
    assert_reads(STR("--b--\r\n"), ".");
}

static void what_only_looks_like_a_boundary_is_data(void **state)
{
    (void)state;
    assert_reads(STR(PART("name=a") "--b\r\n\r\n-\r\n--c\r\n\r\r\n--\r\n-b\r\n\r\n--b--"),
                 "<a>--b\r\n\r\n-\r\n--c\r\n\r\r\n--\r\n-b\r\n</>.");
}

static void preamble_and_epilogue_are_nobodys(void **state)
{
    (void)state;
    assert_reads(
        STR("This is --b\r\n--c\r\n" PART("name=a") "x\r\n--b--\r\n--b\r\nnonsense \r\n--b"),
        "<a>x</>.");
}

static void binary_data_comes_through_unchanged(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(5000);
    AUTO_BUF struct buf log = BUF_INIT(5000);

    init("multipart/form-data; boundary=b");
    buf_add_cstr(&b, PART("name=a"));
    size_t start = b.n;
    for (size_t i = 0; i < 4096; i++)
        buf_add_char(&b, (char)(i * i >> 3));
    buf_add_cstr(&b, "\r\n--b--");
    feed(buf_str(&b), &log);
    assert_int_equal(log.n, 3 + 4096 + 4);
    assert_memory_equal(log.p + 3, b.p + start, 4096);
}

static void body_that_stops_early_has_no_end_event(void **state)
{
    (void)state;
    assert_reads(STR(PART("name=a") "x"), "<a>x");
    assert_reads(STR(PART("name=a") "x\r\n--b"), "<a>x</>");
    assert_reads(STR(PART("name=a") "x\r\n--b-"), "<a>x</>");
    assert_reads(STR("--b\r\nContent-Disp"), "");
}

static void boundary_line_must_end_at_once(void **state)
{
    (void)state;
    assert_reads(STR("--b \r\n"), "!");
    assert_reads(STR("--bc\r\n"), "!");
    assert_reads(STR("--b\n"), "!");
    assert_reads(STR("--b\r\r\n"), "!");
    assert_reads(STR(PART("name=a") "x\r\n--b-x"), "<a>x</>!");
    assert_string_equal(m.bad, "a boundary is followed by something else than CRLF or --");
}

static void parser_that_refused_once_refuses_for_ever(void **state)
{
    (void)state;
    struct str in = { NULL, 0 }, data;

    assert_reads(STR("--b!"), "!");
    assert_int_equal(multipart_next(&m, &in, &data), MULTIPART_BAD);
    in = STR("--b--");
    assert_int_equal(multipart_next(&m, &in, &data), MULTIPART_BAD);
}

static void file_names_are_decoded_as_browsers_and_libraries_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *params, *name;
    } c[] = {
        { "name=a; filename=\"a b;c\"", "a b;c" },
        { "name=a; filename=\"q\\\"q\\\\\"", "q\"q\\" },
        { "name=a; filename=\"C:\\dir\\x\"", "C:\\dir\\x" },
        { "name=a; filename=\"%22%0D%0a%41%\"", "\"\r\n%41%" },
        { "name=a; filename=plain.txt", "plain.txt" },
        { "name=a; filename=\"\"", "" },
        { "name=a; FileName=\"\xc3\xa4\"", "\xc3\xa4" },
        { "name=a; filename=\"../../etc/passwd\"", "../../etc/passwd" },
        { "name=a; filename*=UTF-8''%e2%82%ac%20rates", "\xe2\x82\xac rates" },
        { "name=a; filename=old; filename*=utf-8'en'new", "new" },
        { "name=a; filename*=utf-8'en'new; filename=old", "new" },
        { "name=a;filename=x ;", "x" },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        AUTO_BUF struct buf b = BUF_INIT(1000);
        AUTO_BUF struct buf log = BUF_INIT(1000);
        init("multipart/form-data; boundary=b");
        buf_addf(&b, "--b\r\nContent-Disposition: form-data; %s\r\n\r\n", c[i].params);
        feed(buf_str(&b), &log);
        assert_null(m.bad);
        assert_string_equal(m.name, "a");
        assert_true(m.has_filename);
        assert_string_equal(m.filename, c[i].name);
    }
}

static void headers_of_no_interest_are_passed_over(void **state)
{
    (void)state;
    assert_reads(
        STR("--b\r\nContent-Type: text/plain\r\nCONTENT-disposition:form-data;name=\"\"\r\n"
            "Content-Transfer-Encoding: binary\r\nX:\r\n\r\n\r\n--b--"),
        "<></>.");
}

static void file_name_of_one_part_is_not_that_of_the_next(void **state)
{
    (void)state;
    assert_reads(STR(PART("name=a; filename=f") "\r\n" PART("name=b") "\r\n--b--"),
                 "<a|f></><b></>.");
    assert_string_equal(m.filename, "");
}

static void part_heads_that_could_be_read_in_two_ways_are_refused(void **state)
{
    (void)state;
#define CD "Content-Disposition: form-data; "
    assert_refuses_head("Content-Type: a/b", "a part has no name");
    assert_refuses_head("Content-Disposition: form-data", "a part has no name");
    assert_refuses_head("Content-Disposition : form-data; name=a", "a part has no name");
    assert_refuses_head("Content-Disposition: attachment; name=a",
                        "the Content-Disposition of a part is not form-data");
    assert_refuses_head(CD "name=a\r\n" CD "name=a",
                        "a part has two Content-Disposition headers");
    assert_refuses_head(CD "name=a; name=a", "a part has two names");
    assert_refuses_head(CD "name=a; filename=a; filename=a", "a part has two file names");
    assert_refuses_head(CD "name=a; filename*=utf-8''a; filename*=utf-8''a",
                        "a part has two file names");
    assert_refuses_head(CD "name=a; filename*=utf-8''%00",
                        "filename* is not percent-encoded UTF-8, or is too long");
    assert_refuses_head(CD "name=a; filename*=latin1''a",
                        "filename* is not percent-encoded UTF-8, or is too long");
    assert_refuses_head(CD "name=a; filename*=utf-8'a",
                        "filename* is not percent-encoded UTF-8, or is too long");
    assert_refuses_head(CD "name=a; filename*=utf-8''%4",
                        "filename* is not percent-encoded UTF-8, or is too long");
    assert_refuses_head(CD "name=\"a", "the Content-Disposition of a part is malformed");
    assert_refuses_head(CD "name=\"a\\\"", "the Content-Disposition of a part is malformed");
    assert_refuses_head(CD "name=\"a\"x", "the Content-Disposition of a part is malformed");
    assert_refuses_head(CD "name", "the Content-Disposition of a part is malformed");
    assert_refuses_head(CD "name=a\r\n folded", "a header of a part is malformed or folded");
    assert_refuses_head(CD "name=a\r\nno colon", "a header of a part is malformed or folded");
    assert_refuses_head(CD "name=a\r\n: x", "a header of a part is malformed or folded");
    assert_refuses_head(CD "name=a\nX: y", "a control character in the head of a part");
    assert_refuses_head(CD "name=a\rX: y", "a control character in the head of a part");
    assert_refuses_head(CD "name=\"a\x1b\"", "a control character in the head of a part");
    assert_refuses_head(CD "name=a\r\nContent-Transfer-Encoding: base64",
                        "the Content-Transfer-Encoding of a part is not binary");
#undef CD
    assert_reads(STR("--b\r\nContent-Disposition: form-data; name=\"a\0\"\r\n\r\n"), "!");
    assert_reads(STR("--b\r\n\r\nx"), "!");
}

static void lengths_reach_their_limits_exactly(void **state)
{
    (void)state;
    static const struct {
        size_t name, filename, pad;
        const char *bad;
    } c[] = {
        { MULTIPART_NAME_MAX - 1, MULTIPART_FILENAME_MAX - 1, 100, NULL },
        { MULTIPART_NAME_MAX, 1, 1, "the name of a part is too long" },
        { 1, MULTIPART_FILENAME_MAX, 1, "a file name is too long" },
        { 1, 1, MULTIPART_PART_HEAD_MAX - 59, NULL },
        { 1, 1, MULTIPART_PART_HEAD_MAX - 58, "the head of a part is too long" },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        AUTO_BUF struct buf b = BUF_INIT(20000);
        AUTO_BUF struct buf log = BUF_INIT(20000);
        init("multipart/form-data; boundary=b");
        buf_addf(&b,
                 "--b\r\nX: %0*d\r\nContent-Disposition: form-data; name=%0*d; "
                 "filename=%0*d\r\n\r\n",
                 (int)c[i].pad, 0, (int)c[i].name, 0, (int)c[i].filename, 0);
        feed(buf_str(&b), &log);
        if (c[i].bad)
            assert_string_equal(m.bad, c[i].bad);
        else
            assert_null(m.bad);
    }
}

static void content_types_with_a_legal_boundary_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "multipart/form-data; boundary=b",
        "Multipart/Form-Data ;  charset=utf-8; BOUNDARY=\"a b'()+_,-./:=?c\"",
        "multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW;",
        ("multipart/form-data; boundary=" SEVENTY),
    };
    static const char *const bad[] = {
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"b",
        "multipart/form-data; boundary=\"b \"",
        "multipart/form-data; boundary=b\"c",
        "multipart/form-data; boundary=a; boundary=a",
        "multipart/form-data boundary=b",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=\xc3\xa4",
        ("multipart/form-data; boundary=0" SEVENTY),
        "multipart/mixed; boundary=b",
        "multipart/form-datax; boundary=b",
        "application/x-www-form-urlencoded",
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(multipart_init(&m, str_from(good[i])), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(multipart_init(&m, str_from(bad[i])), -EINVAL);
    assert_int_equal(multipart_init(&m, STR("multipart/form-data; boundary=a\0b")), -EINVAL);
    assert_int_equal(multipart_init(&m, STR("multipart/form-data; boundary=\"a\r\nb\"")),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read_the_same_however_the_bytes_are_cut),
        cmocka_unit_test(what_only_looks_like_a_boundary_is_data),
        cmocka_unit_test(preamble_and_epilogue_are_nobodys),
        cmocka_unit_test(binary_data_comes_through_unchanged),
        cmocka_unit_test(body_that_stops_early_has_no_end_event),
        cmocka_unit_test(boundary_line_must_end_at_once),
        cmocka_unit_test(parser_that_refused_once_refuses_for_ever),
        cmocka_unit_test(file_names_are_decoded_as_browsers_and_libraries_write_them),
        cmocka_unit_test(headers_of_no_interest_are_passed_over),
        cmocka_unit_test(file_name_of_one_part_is_not_that_of_the_next),
        cmocka_unit_test(part_heads_that_could_be_read_in_two_ways_are_refused),
        cmocka_unit_test(lengths_reach_their_limits_exactly),
        cmocka_unit_test(content_types_with_a_legal_boundary_are_taken),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
