/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/caps.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"

static const struct {
    const char *name;
    enum cap cap;
} names[] = {
    { "network:egress", CAP_NETWORK_EGRESS },   { "desktop:access", CAP_DESKTOP_ACCESS },
    { "surf:start", CAP_SURF_START },           { "spell:execute", CAP_SPELL_EXECUTE },
    { "artifact:upload", CAP_ARTIFACT_UPLOAD }, { "admin", CAP_ADMIN },
};

static const char execute[] = "execute:";

static bool is_language(struct str s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789+#._-";

    if (s.n == 0 || s.n > CAPS_LANGUAGE_MAX || s.p[0] < 'a' || s.p[0] > 'z')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(letters, s.p[i], sizeof letters - 1))
            return false;
    return true;
}

static bool has_language(const struct caps *c, struct str language)
{
    for (unsigned i = 0; i < c->n_languages; i++)
        if (str_eq(language, str_from(c->language[i])))
            return true;
    return false;
}

static int add_language(struct caps *c, struct str language)
{
    if (!is_language(language))
        return 0;
    if (has_language(c, language))
        return 1;
    if (c->n_languages == CAPS_LANGUAGES_MAX)
        return -ENOSPC;
    (void)str_copy(language, c->language[c->n_languages++], CAPS_LANGUAGE_MAX + 1); /* fits */
    return 1;
}

int caps_add(struct caps *c, struct str name)
{
    if (str_starts(name, STR("execute:")))
        return add_language(c, str_sub(name, sizeof execute - 1, name.n));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_from(names[i].name))) {
            c->set |= names[i].cap;
            return 1;
        }
    return 0;
}

bool caps_have(const struct caps *c, enum cap one)
{
    return (c->set & one) != 0 || (c->all && one != CAP_ADMIN);
}

bool caps_may_execute(const struct caps *c, struct str language)
{
    return c->all || has_language(c, language);
}

bool caps_may_execute_anything(const struct caps *c)
{
    return c->all || c->n_languages > 0;
}

bool caps_cover(const struct caps *a, const struct caps *b)
{
    if (a->all)
        return true;
    if (b->all || (b->set & ~a->set & ~(unsigned)CAP_ADMIN) != 0)
        return false;
    for (unsigned i = 0; i < b->n_languages; i++)
        if (!has_language(a, str_from(b->language[i])))
            return false;
    return true;
}

struct writer {
    struct buf *out;
    const char *before, *separator, *after;
    bool is_first;
};

static void write_one(struct writer *w, const char *prefix, const char *name)
{
    if (!w->is_first)
        buf_add_cstr(w->out, w->separator);
    w->is_first = false;
    buf_addf(w->out, "%s%s%s%s", w->before, prefix, name, w->after);
}

static void write_all(const struct caps *c, struct writer *w)
{
    w->is_first = true;
    if (c->all)
        write_one(w, "", "*");
    for (unsigned i = 0; i < c->n_languages; i++)
        write_one(w, execute, c->language[i]);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (c->set & names[i].cap)
            write_one(w, "", names[i].name);
}

void caps_write_text(const struct caps *c, struct buf *out)
{
    struct writer w = { out, "", " ", "", true };
    write_all(c, &w);
}

void caps_write_json(const struct caps *c, struct buf *out)
{
    struct writer w = { out, "\"", ",", "\"", true };
    buf_add_char(out, '[');
    write_all(c, &w); /* no name has a character that JSON escapes */
    buf_add_char(out, ']');
}

int caps_read_text(struct str text, struct caps *out)
{
    struct caps c = { 0 };
    struct str name;

    while (text.n > 0) {
        (void)str_cut(text, ' ', &name, &text);
        if (str_eq(name, STR("*")))
            c.all = true;
        else if (caps_add(&c, name) != 1)
            return -EINVAL;
    }
    *out = c;
    return 0;
}
