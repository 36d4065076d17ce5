/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"

/* jansson recurses, so depth is bounded before it sees the text: brackets outside strings are
 * counted. */
static bool too_deep(struct str text)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *json_parse(struct str text, struct err *e)
{
    json_error_t why;

    if (too_deep(text)) {
        (void)err_say(e, EINVAL, "JSON is nested deeper than %u levels", JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *j = json_loadb(text.p ? text.p : "", text.n,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!j)
        (void)err_say(e, EINVAL, "not valid JSON: line %d column %d: %.160s", why.line,
                      why.column, why.text);
    return j;
}

static const char *type_name(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static json_t *field_of(const json_t *obj, const char *field)
{
    json_t *v = json_object_get(obj, field);
    return json_is_null(v) ? NULL : v;
}

static int wrong(const char *field, const char *want, const json_t *got, struct err *e)
{
    return err_say(e, EINVAL, "field '%s' must be %s, got %s", field, want, type_name(got));
}

int json_get_str(const json_t *obj, const char *field, size_t max_bytes, const char **out,
                 struct err *e)
{
    const json_t *v = field_of(obj, field);

    if (!v)
        return 0;
    if (!json_is_string(v))
        return wrong(field, "a string", v, e);
    if (json_string_length(v) > max_bytes)
        return err_say(e, EINVAL, "field '%s' must be at most %zu bytes long", field,
                       max_bytes);
    *out = json_string_value(v);
    return 1;
}

int json_get_i64(const json_t *obj, const char *field, int64_t min, int64_t max, int64_t *out,
                 struct err *e)
{
    const json_t *v = field_of(obj, field);
    char want[96];

    if (!v)
        return 0;
    (void)snprintf(want, sizeof want, "an integer between %lld and %lld", (long long)min,
                   (long long)max);
    if (!json_is_integer(v))
        return wrong(field, want, v, e);
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return err_say(e, EINVAL, "field '%s' must be %s, got %lld", field, want,
                       (long long)json_integer_value(v));
    *out = json_integer_value(v);
    return 1;
}

int json_get_bool(const json_t *obj, const char *field, bool *out, struct err *e)
{
    const json_t *v = field_of(obj, field);

    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return wrong(field, "true or false", v, e);
    *out = json_is_true(v);
    return 1;
}

int json_get_obj(const json_t *obj, const char *field, json_t **out, struct err *e)
{
    json_t *v = field_of(obj, field);

    if (!v)
        return 0;
    if (!json_is_object(v))
        return wrong(field, "an object", v, e);
    *out = v;
    return 1;
}

int json_get_array(const json_t *obj, const char *field, json_t **out, struct err *e)
{
    json_t *v = field_of(obj, field);

    if (!v)
        return 0;
    if (!json_is_array(v))
        return wrong(field, "an array", v, e);
    *out = v;
    return 1;
}

int json_get_str_map(const json_t *obj, const char *field, size_t max_pairs, size_t max_bytes,
                     json_t **out, struct err *e)
{
    json_t *map = NULL;
    json_t *v;
    const char *key;
    int rc = json_get_obj(obj, field, &map, e);

    if (rc <= 0)
        return rc;
    if (json_object_size(map) > max_pairs)
        return err_say(e, EINVAL, "field '%s' must have at most %zu entries", field, max_pairs);
    json_object_foreach(map, key, v)
    {
        if (!json_is_string(v))
            return err_say(e, EINVAL,
                           "field '%s': the value of '%.64s' must be a string, got %s", field,
                           key, type_name(v));
        if (strlen(key) > max_bytes || json_string_length(v) > max_bytes)
            return err_say(e, EINVAL,
                           "field '%s': '%.64s' and its value must be at most %zu bytes long",
                           field, key, max_bytes);
    }
    *out = map;
    return 1;
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    /* Which second bytes may follow which first; the later ones are 80..bf (RFC 3629 §4). */
    static const struct {
        unsigned char first, last, low, high;
        size_t length;
    } form[] = {
        { 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    size_t f = 0;

    while (f < ARRAY_LEN(form) && !(p[0] >= form[f].first && p[0] <= form[f].last))
        f++;
    if (f == ARRAY_LEN(form) || form[f].length > n)
        return 0;
    if (form[f].length > 1 && !(p[1] >= form[f].low && p[1] <= form[f].high))
        return 0;
    for (size_t i = 2; i < form[f].length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return form[f].length;
}

static char short_escape(unsigned char c)
{
    if (c == '\n')
        return 'n';
    return c == '\r' ? 'r' : 't';
}

void json_write_str(struct buf *out, struct str s)
{
    static const char digits[] = "0123456789abcdef";

    buf_add_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t len = utf8_length(p, s.n - i);
        if (len == 0) {
            buf_add_cstr(out, "\xef\xbf\xbd");
            len = 1;
        } else if (*p == '"' || *p == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, (char)*p);
        } else if (*p == '\n' || *p == '\r' || *p == '\t') {
            buf_add_char(out, '\\');
            buf_add_char(out, short_escape(*p));
        } else if (*p < 0x20) {
            const char esc[] = { '\\', 'u', '0', '0', digits[*p >> 4], digits[*p & 15] };
            buf_add(out, esc, sizeof esc);
        } else {
            buf_add(out, p, len);
        }
        i += len;
    }
    buf_add_char(out, '"');
}

static int append(const char *p, size_t n, void *arg)
{
    struct buf *out = arg;
    buf_add(out, p, n);
    return buf_ok(out) ? 0 : -1;
}

bool json_write(struct buf *out, const json_t *j)
{
    return json_dump_callback(j, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0 &&
           buf_ok(out);
}
