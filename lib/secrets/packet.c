/* SPDX-License-Identifier: Apache-2.0 */
#include "secrets/packet.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "codec/base64.h"

#define ENTRIES_MAX 4096u

static int value_of_hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int from_hex(struct str s, struct buf *out)
{
    if (s.n % 2 != 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i += 2) {
        int high = value_of_hex(s.p[i]), low = value_of_hex(s.p[i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        buf_add_char(out, (char)(high << 4 | low));
    }
    return 0;
}

static struct str text_of(const json_t *j)
{
    return (struct str){ json_string_value(j), json_string_length(j) };
}

static int bad(const char *name, struct err *e)
{
    return err_say(e, EINVAL, "the packet's entry '%.128s' has no value that can be read",
                   name);
}

static int plain(struct packet_reader *r, const char *name, struct str text,
                 enum packet_how how, struct buf *value, struct err *e)
{
    int rc = 0;

    if (!r->plain_is_fine)
        return err_say(e, EPERM,
                       "%.128s is not encrypted: %s is plain text; encrypt it with firebreak "
                       "secrets import-env",
                       name,
                       how == PACKET_CLEAR    ? "clear text"
                       : how == PACKET_BASE64 ? "base64"
                                              : "hexadecimal");
    if (how == PACKET_CLEAR)
        buf_add_str(value, text);
    else if (how == PACKET_BASE64)
        rc = base64_decode(text, value);
    else
        rc = from_hex(text, value);
    if (rc < 0 || !buf_ok(value))
        return bad(name, e);
    r->n_plain++;
    return (int)how;
}

/* Of v0.1: text_enc, text, or text_b64, which old files have in hexadecimal. Which of them, or -errno. */
static int read_point(struct packet_reader *r, const char *name, const json_t *point,
                      struct buf *value, struct err *e)
{
    const json_t *enc = json_object_get(point, "text_enc"),
                 *b64 = json_object_get(point, "text_b64");
    const json_t *text = json_object_get(point, "text");
    int rc;

    if (json_is_string(enc)) {
        rc = envelope_open(&r->key, r->passphrase, str_from(name), text_of(enc), value, e);
        return rc < 0 ? rc : PACKET_ENCRYPTED;
    }
    if (json_is_string(text))
        return plain(r, name, text_of(text), PACKET_CLEAR, value, e);
    if (!json_is_string(b64))
        return bad(name, e);
    struct err first = { 0 };
    rc = plain(r, name, text_of(b64), PACKET_BASE64, value, &first);
    if (rc != -EINVAL) {
        if (rc < 0)
            *e = first;
        return rc;
    }
    buf_clear(value);
    return plain(r, name, text_of(b64), PACKET_HEX, value, e);
}

/* Of v1.0. */
static int read_flat(struct packet_reader *r, const char *name, const json_t *point,
                     struct buf *value, struct err *e)
{
    const json_t *v = json_object_get(point, "value");
    const char *encoding = json_string_value(json_object_get(point, "encoding"));

    if (!json_is_string(v) || !encoding)
        return bad(name, e);
    if (envelope_is(text_of(v))) {
        int rc = envelope_open(&r->key, r->passphrase, str_from(name), text_of(v), value, e);
        return rc < 0 ? rc : PACKET_ENCRYPTED;
    }
    if (strcmp(encoding, "cleartext") == 0)
        return plain(r, name, text_of(v), PACKET_CLEAR, value, e);
    if (strcmp(encoding, "hex") == 0)
        return plain(r, name, text_of(v), PACKET_HEX, value, e);
    return bad(name, e);
}

static int read_entry(struct packet_reader *r, const char *name, const json_t *point,
                      int (*read)(struct packet_reader *r, const char *name,
                                  const json_t *point, struct buf *value, struct err *e),
                      struct err *e)
{
    AUTO_BUF struct buf value = BUF_INIT(ENVELOPE_VALUE_MAX);

    if (!name || !envelope_name_ok(str_from(name)))
        return err_say(e, EINVAL, "the packet has an entry without the name of a variable");
    int rc = read(r, name, point, &value, e);
    if (rc >= 0)
        rc = r->fn(r->arg, name, buf_str(&value), (enum packet_how)rc);
    if (value.p)
        explicit_bzero(value.p, value.cap);
    return rc < 0 ? rc : 0;
}

static bool is_spec(const json_t *doc, const char *field, const char *want)
{
    const char *got = json_string_value(json_object_get(doc, field));
    return got && strcmp(got, want) == 0;
}

int packet_read(struct packet_reader *r, const json_t *doc, struct err *e)
{
    bool nested =
        is_spec(doc, "spec", "chit.cgp.v0.1") || is_spec(doc, "spec", "chit.cgp.v0.2");
    bool flat = is_spec(doc, "version", "chit.cgp.v1.0");
    const json_t *list =
        nested ? json_object_get(json_array_get(json_object_get(doc, "super_nodes"), 0),
                                 "constellations")
        : flat ? json_object_get(doc, "points")
               : NULL;
    size_t n = json_array_size(list);

    if (!json_is_array(list) || n > ENTRIES_MAX)
        return err_say(e, EINVAL, "this is no packet of secrets (CGP v0.1, v0.2 or v1.0)");
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(entry, "label"));
        const json_t *point =
            flat ? entry : json_array_get(json_object_get(entry, "points"), 0);
        int rc = read_entry(r, name, point, flat ? read_flat : read_point, e);
        if (rc < 0)
            return rc;
    }
    return (int)n;
}
