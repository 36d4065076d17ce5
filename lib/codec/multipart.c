/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/multipart.h"

#include <errno.h>
#include <string.h>

enum state {
    PREAMBLE,    /* before the first boundary line; its bytes are dropped */
    BOUNDARY,    /* behind a boundary: CRLF, or "--" */
    BOUNDARY_LF, /* behind its CR */
    BOUNDARY_2,  /* behind its first '-' */
    HEAD,
    BODY,
    EPILOGUE,
    BAD
};

static struct str from(struct str s, size_t at)
{
    return str_sub(s, at, s.n);
}

/* --- parameters: ;key=token ;key="quoted" --- */

struct param {
    struct str key, value; /* value without the quotes, still escaped */
    bool quoted;
};

enum got { GOT_PARAM, GOT_END, GOT_BAD };

static enum got quoted_value(struct str *rest, struct param *p)
{
    size_t i = 1;

    while (i < rest->n && rest->p[i] != '"')
        i += rest->p[i] == '\\' ? 2 : 1;
    if (i >= rest->n)
        return GOT_BAD;
    p->quoted = true;
    p->value = str_sub(*rest, 1, i - 1);
    *rest = from(*rest, i + 1);
    return GOT_PARAM;
}

static enum got next_param(struct str *rest, struct param *p)
{
    struct str value;

    *rest = str_trim(*rest);
    if (rest->n == 0)
        return GOT_END;
    if (rest->p[0] != ';')
        return GOT_BAD;
    *rest = str_trim(from(*rest, 1));
    if (rest->n == 0)
        return GOT_END; /* some end their list with a semicolon */
    if (!str_cut(*rest, '=', &p->key, &value))
        return GOT_BAD;
    p->key = str_trim(p->key);
    p->quoted = false;
    if (value.n > 0 && value.p[0] == '"') {
        *rest = value;
        return quoted_value(rest, p);
    }
    size_t n = 0;
    while (n < value.n && value.p[n] != ';')
        n++;
    p->value = str_trim(str_sub(value, 0, n));
    *rest = from(value, n);
    return GOT_PARAM;
}

/* --- the boundary --- */

static bool is_boundary_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("'()+_,-./:=? ", c));
}

static bool boundary_ok(struct str b)
{
    if (b.n == 0 || b.n > MULTIPART_BOUNDARY_MAX || b.p[b.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < b.n; i++)
        if (!is_boundary_char(b.p[i]))
            return false;
    return true;
}

int multipart_init(struct multipart *m, struct str content_type)
{
    struct str boundary = { NULL, 0 };
    struct param p;
    enum got got;
    size_t at = 0;
    size_t type_n = str_find(content_type, ';', &at) ? at : content_type.n;
    struct str rest = from(content_type, type_n);

    if (!str_eq_nocase(str_trim(str_sub(content_type, 0, type_n)), STR("multipart/form-data")))
        return -EINVAL;
    while ((got = next_param(&rest, &p)) == GOT_PARAM) {
        if (!str_eq_nocase(p.key, STR("boundary")))
            continue;
        if (boundary.n > 0 || !boundary_ok(p.value))
            return -EINVAL;
        boundary = p.value;
    }
    if (got == GOT_BAD || boundary.n == 0)
        return -EINVAL;
    memcpy(m->boundary, "\r\n--", 4);
    memcpy(m->boundary + 4, boundary.p, boundary.n);
    m->boundary_n = 4 + boundary.n;
    m->state = PREAMBLE;
    m->matched = 2; /* the start of the body counts as the start of a line */
    m->head_n = 0;
    m->name[0] = m->filename[0] = 0;
    m->has_filename = false;
    m->bad = NULL;
    return 0;
}

/* --- the head of a part --- */

static int bad(struct multipart *m, const char *why)
{
    m->bad = why;
    return -1;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that %XX at s.p[i] stands for, or -1. */
static int percent(struct str s, size_t i)
{
    int hi = s.n - i > 2 ? hex(s.p[i + 1]) : -1;
    int lo = s.n - i > 2 ? hex(s.p[i + 2]) : -1;

    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* How browsers and libraries write a name: the HTML way (%22 %0D %0A and nothing else) or with
 * backslashes. A backslash before another character is one: file names of another system. */
static int decode_plain(const struct param *p, char *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < p->value.n; i++) {
        char c = p->value.p[i];
        char next = 0;
        if (i + 1 < p->value.n)
            next = p->value.p[i + 1];
        int byte = c == '%' ? percent(p->value, i) : -1;
        if (p->quoted && c == '\\' && (next == '"' || next == '\\')) {
            c = next;
            i++;
        } else if (byte == '"' || byte == '\r' || byte == '\n') {
            c = (char)byte;
            i += 2;
        }
        if (n + 1 >= cap)
            return -1;
        out[n++] = c;
    }
    out[n] = 0;
    return 0;
}

/* filename*=UTF-8'language'percent-encoded (RFC 8187). */
static int decode_extended(const struct param *p, char *out, size_t cap)
{
    struct str charset, language, text, rest;
    size_t n = 0;

    if (p->quoted || !str_cut(p->value, '\'', &charset, &rest) ||
        !str_cut(rest, '\'', &language, &text) || !str_eq_nocase(charset, STR("utf-8")))
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        int c = (unsigned char)text.p[i];
        if (c == '%') {
            c = percent(text, i);
            i += 2;
        }
        if (c <= 0 || n + 1 >= cap)
            return -1;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return 0;
}

struct seen {
    bool disposition, name, filename, extended;
};

static int check_param(struct multipart *m, const struct param *p, struct seen *seen)
{
    if (str_eq_nocase(p->key, STR("name"))) {
        if (seen->name)
            return bad(m, "a part has two names");
        seen->name = true;
        if (decode_plain(p, m->name, sizeof m->name) < 0)
            return bad(m, "the name of a part is too long");
    } else if (str_eq_nocase(p->key, STR("filename"))) {
        if (seen->filename)
            return bad(m, "a part has two file names");
        seen->filename = true;
        if (!seen->extended && decode_plain(p, m->filename, sizeof m->filename) < 0)
            return bad(m, "a file name is too long");
    } else if (str_eq_nocase(p->key, STR("filename*"))) {
        if (seen->extended)
            return bad(m, "a part has two file names");
        seen->extended = true; /* wins over the plain one, which is there for old peers */
        if (decode_extended(p, m->filename, sizeof m->filename) < 0)
            return bad(m, "filename* is not percent-encoded UTF-8, or is too long");
    }
    return 0;
}

static int check_disposition(struct multipart *m, struct str value, struct seen *seen)
{
    size_t at;
    size_t n = str_find(value, ';', &at) ? at : value.n;
    struct str rest = from(value, n);
    struct param p;
    enum got got;

    if (seen->disposition)
        return bad(m, "a part has two Content-Disposition headers");
    seen->disposition = true;
    if (!str_eq_nocase(str_trim(str_sub(value, 0, n)), STR("form-data")))
        return bad(m, "the Content-Disposition of a part is not form-data");
    while ((got = next_param(&rest, &p)) == GOT_PARAM)
        if (check_param(m, &p, seen) < 0)
            return -1;
    return got == GOT_BAD ? bad(m, "the Content-Disposition of a part is malformed") : 0;
}

static int check_field(struct multipart *m, struct str line, struct seen *seen)
{
    struct str name, value;

    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
            return bad(m, "a control character in the head of a part");
    if (!str_cut(line, ':', &name, &value) || name.n == 0 || name.p[0] == ' ' ||
        name.p[0] == '\t')
        return bad(m, "a header of a part is malformed or folded");
    value = str_trim(value);
    if (str_eq_nocase(name, STR("content-disposition")))
        return check_disposition(m, value, seen);
    if (str_eq_nocase(name, STR("content-transfer-encoding")) &&
        !str_eq_nocase(value, STR("binary")) && !str_eq_nocase(value, STR("8bit")) &&
        !str_eq_nocase(value, STR("7bit")))
        return bad(m, "the Content-Transfer-Encoding of a part is not binary");
    return 0;
}

/* m->head ends in an empty line. */
static int parse_head(struct multipart *m)
{
    struct str rest = { m->head, m->head_n - 2 };
    struct seen seen = { 0 };

    m->name[0] = m->filename[0] = 0;
    while (rest.n > 0) {
        size_t n = 0;
        while (n + 1 < rest.n && !(rest.p[n] == '\r' && rest.p[n + 1] == '\n'))
            n++;
        if (check_field(m, str_sub(rest, 0, n), &seen) < 0)
            return -1;
        rest = from(rest, n + 2);
    }
    m->has_filename = seen.filename || seen.extended;
    return seen.name ? 0 : bad(m, "a part has no name");
}

/* --- events --- */

static enum multipart_event fail(struct multipart *m, const char *why)
{
    m->bad = why;
    m->state = BAD;
    return MULTIPART_BAD;
}

/* Is the empty line that ends a head, or is a head, at the end of what was collected? */
static bool head_is_whole(const struct multipart *m)
{
    const char *end = m->head + m->head_n;

    return m->head_n == 2 ? memcmp(m->head, "\r\n", 2) == 0
                          : m->head_n >= 4 && memcmp(end - 4, "\r\n\r\n", 4) == 0;
}

static enum multipart_event next_head(struct multipart *m, struct str *in)
{
    size_t i = 0;

    while (i < in->n && m->head_n < sizeof m->head) {
        m->head[m->head_n++] = in->p[i++];
        if (!head_is_whole(m))
            continue;
        *in = from(*in, i);
        m->state = BODY;
        m->matched = 0;
        return parse_head(m) < 0 ? fail(m, m->bad) : MULTIPART_PART;
    }
    *in = from(*in, i);
    return m->head_n == sizeof m->head ? fail(m, "the head of a part is too long")
                                       : MULTIPART_NEED_MORE;
}

/* How many bytes at s are the beginning of the boundary. */
static size_t common(const struct multipart *m, size_t matched, struct str s)
{
    size_t n = 0;

    while (n < s.n && matched + n < m->boundary_n && s.p[n] == m->boundary[matched + n])
        n++;
    return n;
}

/* The bytes before the next CR from which on everything, to the end of s, may be a boundary. A
 * boundary has its only CR in front, so that what failed to match needs no second look. */
static size_t run_of_data(const struct multipart *m, struct str s)
{
    size_t i = 0, at;

    while (str_find(from(s, i), '\r', &at)) {
        size_t n = common(m, 0, from(s, i + at));
        if (n == m->boundary_n || i + at + n == s.n)
            return i + at;
        i += at + n;
    }
    return s.n;
}

/* Data up to the next boundary; the boundary itself gives PART_END. */
static enum multipart_event next_data(struct multipart *m, struct str *in, struct str *data)
{
    if (m->matched == 0) {
        size_t n = run_of_data(m, *in);
        if (n > 0) {
            *data = str_sub(*in, 0, n);
            *in = from(*in, n);
            return MULTIPART_DATA;
        }
    }
    size_t n = common(m, m->matched, *in);
    m->matched += n;
    *in = from(*in, n);
    if (m->matched == m->boundary_n) {
        m->state = BOUNDARY;
        m->matched = 0;
        return MULTIPART_PART_END;
    }
    if (in->n == 0)
        return MULTIPART_NEED_MORE;
    *data =
        (struct str){ m->boundary, m->matched }; /* held back, but no boundary: they are data */
    m->matched = 0;
    return MULTIPART_DATA;
}

/* Behind a boundary. */
static enum multipart_event next_mark(struct multipart *m, struct str *in)
{
    char c = in->p[0];

    *in = from(*in, 1);
    if (m->state == BOUNDARY && (c == '\r' || c == '-')) {
        m->state = c == '\r' ? BOUNDARY_LF : BOUNDARY_2;
        return MULTIPART_NEED_MORE;
    }
    if (m->state == BOUNDARY_LF && c == '\n') {
        m->state = HEAD;
        m->head_n = 0;
        return MULTIPART_NEED_MORE;
    }
    if (m->state == BOUNDARY_2 && c == '-') {
        m->state = EPILOGUE;
        return MULTIPART_END;
    }
    return fail(m, "a boundary is followed by something else than CRLF or --");
}

static enum multipart_event step(struct multipart *m, struct str *in, struct str *data)
{
    switch ((enum state)m->state) {
    case PREAMBLE:
        (void)next_data(m, in, data); /* what comes before the first boundary is nobody's */
        return MULTIPART_NEED_MORE;
    case BOUNDARY:
    case BOUNDARY_LF:
    case BOUNDARY_2:
        return next_mark(m, in);
    case HEAD:
        return next_head(m, in);
    case BODY:
        return next_data(m, in, data);
    case EPILOGUE:
        *in = from(*in, in->n);
        return MULTIPART_NEED_MORE;
    case BAD:
        break;
    }
    return MULTIPART_BAD;
}

enum multipart_event multipart_next(struct multipart *m, struct str *in, struct str *data)
{
    enum multipart_event ev = m->state == BAD ? MULTIPART_BAD : MULTIPART_NEED_MORE;

    while (ev == MULTIPART_NEED_MORE && in->n > 0)
        ev = step(
            m, in,
            data); /* each step consumes, changes state for good, or gives back what was held */
    return ev;
}
