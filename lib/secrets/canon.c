/* SPDX-License-Identifier: Apache-2.0 */
#include "secrets/canon.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "codec/base64.h"
#include "crypto/seal.h"

#define CANON_MAX (4u << 20)

static void add_unit(struct buf *out, uint32_t c)
{
    buf_addf(out, "\\u%04x", c);
}

/* The character at s[*i], behind which *i is moved. jansson's strings are valid UTF-8. */
static uint32_t next_char(const char *s, size_t *i)
{
    unsigned char b = (unsigned char)s[*i];
    size_t k = b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
    uint32_t c = b & (k == 1 ? 0x7fu : 0xffu >> (k + 1));

    for (size_t m = 1; m < k; m++)
        c = c << 6 | ((unsigned char)s[*i + m] & 0x3fu);
    *i += k;
    return c;
}

static void write_char(struct buf *out, uint32_t c)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *short_form = c > 0 && c < 0x80 ? strchr(from, (char)c) : NULL;

    if (short_form) {
        buf_add_char(out, '\\');
        buf_add_char(out, to[short_form - from]);
    } else if (c >= 0x20 && c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x10000) {
        add_unit(out, c);
    } else {
        add_unit(out, 0xd800 + ((c - 0x10000) >> 10));
        add_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
    }
}

static void write_str(struct buf *out, const char *s, size_t n)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < n;)
        write_char(out, next_char(s, &i));
    buf_add_char(out, '"');
}

/* The shortest digits that are this number; returns how many, and the exponent of the first. */
static size_t shortest(double v, char digits[24], int *exponent)
{
    char text[40];
    size_t n = 0;
    int precision = 0;

    do
        (void)snprintf(text, sizeof text, "%.*e", precision, v);
    while (precision++ < 17 && strtod(text, NULL) != v);
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < 24)
            digits[n++] = *p;
    *exponent = (int)strtol(p + 1, NULL, 10);
    return n;
}

/* In Python's shape: 1.0, 0.25, 1e+16, 1e-05. */
static void write_real(struct buf *out, double v)
{
    char digits[24] = "0";
    int exponent;
    size_t n = shortest(v, digits, &exponent);

    if (signbit(v))
        buf_add_char(out, '-');
    if (exponent < -4 || exponent >= 16) {
        buf_add(out, digits, 1);
        if (n > 1)
            buf_add_char(out, '.');
        buf_add(out, digits + 1, n - 1);
        buf_addf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        buf_add_cstr(out, "0.");
        for (int i = -1; i > exponent; i--)
            buf_add_char(out, '0');
        buf_add(out, digits, n);
    } else {
        size_t whole = (size_t)exponent + 1;
        buf_add(out, digits, n < whole ? n : whole);
        for (size_t i = n; i < whole; i++)
            buf_add_char(out, '0');
        buf_add_char(out, '.');
        buf_add(out, n > whole ? digits + whole : "0", n > whole ? n - whole : 1);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a,
                  *(const char *const *)b); /* of UTF-8: by code point */
}

static void write_value(struct buf *out, const json_t *j, const char *without);

static void write_object(struct buf *out, const json_t *j, const char *without)
{
    size_t n = 0, max = json_object_size(j);
    AUTO_FREE const char **name = calloc(max > 0 ? max : 1, sizeof *name);
    const char *key, *between = "";
    json_t *value;

    if (!name) {
        out->failed = ENOMEM;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (!without || strcmp(key, without) != 0)
            name[n++] = key;
    }
    qsort(name, n, sizeof *name, by_name);
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        buf_add_cstr(out, between);
        write_str(out, name[i], strlen(name[i]));
        buf_add_char(out, ':');
        write_value(out, json_object_get(j, name[i]), NULL);
        between = ",";
    }
    buf_add_char(out, '}');
}

static void write_array(struct buf *out, const json_t *j)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < json_array_size(j); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_value(out, json_array_get(j, i), NULL);
    }
    buf_add_char(out, ']');
}

/* As deep as json_parse lets a document be. */
static void write_value(struct buf *out, const json_t *j, const char *without)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        write_object(out, j, without);
        break;
    case JSON_ARRAY:
        write_array(out, j);
        break;
    case JSON_STRING:
        write_str(out, json_string_value(j), json_string_length(j));
        break;
    case JSON_INTEGER:
        buf_add_i64(out, json_integer_value(j));
        break;
    case JSON_REAL:
        write_real(out, json_real_value(j));
        break;
    case JSON_TRUE:
        buf_add_cstr(out, "true");
        break;
    case JSON_FALSE:
        buf_add_cstr(out, "false");
        break;
    case JSON_NULL:
        buf_add_cstr(out, "null");
        break;
    }
}

bool canon_write(struct buf *out, const json_t *j, const char *without)
{
    write_value(out, j, without);
    return buf_ok(out);
}

static bool mac_of(const json_t *doc, struct str passphrase, uint8_t mac[32])
{
    AUTO_BUF struct buf b = BUF_INIT(CANON_MAX);

    if (!canon_write(&b, doc, "sig"))
        return false;
    hmac_sha256(passphrase, buf_str(&b), mac);
    return true;
}

int canon_sign(json_t *doc, struct str passphrase, const char *kid)
{
    AUTO_BUF struct buf text = BUF_INIT(64);
    uint8_t mac[32];

    if (!mac_of(doc, passphrase, mac))
        return -ENOMEM;
    base64_encode(mac, sizeof mac, &text);
    json_t *sig =
        json_pack("{s:s,s:s,s:s}", "alg", "HMAC-SHA256", "kid", kid, "hmac", buf_cstr(&text));
    return json_object_set_new(doc, "sig", sig) < 0 ? -ENOMEM : 0;
}

bool canon_verify(const json_t *doc, struct str passphrase)
{
    const json_t *sig = json_object_get(doc, "sig");
    const char *alg = json_string_value(json_object_get(sig, "alg"));
    const char *text = json_string_value(json_object_get(sig, "hmac"));
    AUTO_BUF struct buf want = BUF_INIT(64);
    uint8_t mac[32];

    if (!alg || strcmp(alg, "HMAC-SHA256") != 0 || !text || !mac_of(doc, passphrase, mac))
        return false;
    base64_encode(mac, sizeof mac, &want);
    return str_eq_secret(buf_str(&want), str_from(text));
}
