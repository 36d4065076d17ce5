/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/lang.h"

#include <string.h>

#include "base/auto.h"

static const struct lang langs[] = {
    { "python", "python3", "-c", ".py" },
    { "javascript", "node", "-e", ".js" },
    { "bash", "bash", "-c", ".sh" },
};

static const struct {
    const char *word;
    unsigned lang;
} names[] = {
    { "python", 0 },     { "python3", 0 }, { "py", 0 },   { "pyw", 0 },
    { "javascript", 1 }, { "js", 1 },      { "node", 1 }, { "nodejs", 1 },
    { "mjs", 1 },        { "cjs", 1 },     { "bash", 2 }, { "sh", 2 },
};

static const struct lang *by_word(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(word, str_from(names[i].word)))
            return &langs[names[i].lang];
    return NULL;
}

const struct lang *lang_by_name(const char *name)
{
    return by_word(str_from(name));
}

const struct lang *lang_by_file_name(const char *file_name)
{
    const char *base = strrchr(file_name, '/');
    const char *dot = strrchr(base ? base : file_name, '.');

    return dot ? by_word(str_from(dot + 1)) : NULL;
}

/* The next run of characters that are no blanks. */
static struct str next_word(struct str *rest)
{
    struct str word;

    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
        n++;
    word = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->n - n);
    return word;
}

const struct lang *lang_by_shebang(struct str text)
{
    struct str line, rest;

    if (!str_starts(text, STR("#!")))
        return NULL;
    (void)str_cut(str_sub(text, 2, text.n - 2), '\n', &line, &rest);
    if (str_ends(line, STR("\r")))
        line.n--;
    struct str word = next_word(&line);
    if (str_ends(word, STR("/env"))) {
        do
            word = next_word(&line);
        while (str_starts(word, STR("-")));
    }
    for (size_t i = word.n; i > 0; i--) {
        if (word.p[i - 1] == '/') {
            word = str_sub(word, i, word.n - i);
            break;
        }
    }
    /* python3.11 is a python3 */
    if (str_starts(word, STR("python3.")))
        word.n = sizeof "python3" - 1;
    return by_word(word);
}
