/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/sudo_options.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "envd/sudo_proto.h"

static const struct option {
    const char *word;
    char letter;
    bool takes_value;
} OPTIONS[] = {
    { "user", 'u', true },
    { "preserve-env", 'E', false },
    { "non-interactive", 'n', false },
    { "login", 'i', false },
    { "shell", 's', false },
    { "set-home", 'H', false },
    { "stdin", 'S', false },
    { "prompt", 'p', true },
    { "validate", 'v', false },
    { "list", 'l', false },
    { "reset-timestamp", 'k', false },
    { "remove-timestamp", 'K', false },
    { "version", 'V', false },
    { "help", 'h', false },
};

static const struct option *by_letter(char c)
{
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++)
        if (OPTIONS[i].letter == c)
            return &OPTIONS[i];
    return NULL;
}

/* Of "--user" or "--user=x" without the dashes; *value is what follows '='. */
static const struct option *by_word(const char *text, const char **value)
{
    size_t n = strcspn(text, "=");

    *value = text[n] == '=' ? text + n + 1 : NULL;
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++)
        if (strlen(OPTIONS[i].word) == n && strncmp(OPTIONS[i].word, text, n) == 0)
            return &OPTIONS[i];
    return NULL;
}

static void apply(const struct option *o, const char *value, struct sudo_options *out)
{
    switch (o->letter) {
    case 'u':
        out->user = value;
        break;
    case 'E': /* --preserve-env=LIST keeps more than it was asked for */
        out->flags |= SUDO_KEEP_ENV;
        break;
    case 'i':
        out->flags |= SUDO_LOGIN;
        break;
    case 's':
        out->flags |= SUDO_SHELL;
        break;
    case 'H':
        out->flags |= SUDO_SET_HOME;
        break;
    case 'v':
    case 'k':
    case 'K':
        out->mode = SUDO_VALIDATE;
        break;
    case 'l':
        out->mode = SUDO_LIST;
        break;
    case 'V':
        out->mode = SUDO_PRINT_VERSION;
        break;
    case 'h':
        out->mode = SUDO_HELP;
        break;
    default: /* n, S, p: there is no password to ask for */
        break;
    }
}

struct cursor {
    char **argv;
    size_t argc, at;
};

static int take_value(struct cursor *c, const char *name, const char **value, struct err *e)
{
    if (c->at + 1 >= c->argc)
        return err_say(e, EINVAL, "option '%s' needs a value", name);
    *value = c->argv[++c->at];
    return 0;
}

static int parse_word(struct cursor *c, struct sudo_options *out, struct err *e)
{
    const char *text = c->argv[c->at], *value;
    const struct option *o = by_word(text + 2, &value);

    if (!o)
        return err_say(e, EINVAL, "unknown option '%.64s'", text);
    if (o->takes_value && !value && take_value(c, text, &value, e) < 0)
        return -EINVAL;
    apply(o, value, out);
    return 0;
}

static int parse_letters(struct cursor *c, struct sudo_options *out, struct err *e)
{
    for (const char *l = c->argv[c->at] + 1; *l; l++) {
        const struct option *o = by_letter(*l);
        char name[3] = { '-', *l, '\0' };
        const char *value = NULL;
        if (!o)
            return err_say(e, EINVAL, "unknown option '-%c'",
                           *l >= 0x20 && *l < 0x7f ? *l : '?');
        if (o->takes_value && l[1]) { /* -uroot */
            apply(o, l + 1, out);
            return 0;
        }
        if (o->takes_value && take_value(c, name, &value, e) < 0)
            return -EINVAL;
        apply(o, value, out);
    }
    return 0;
}

static bool is_assignment(const char *s)
{
    const char *eq = strchr(s, '=');
    return eq && eq != s;
}

/* Stops at the first word that is no option, or behind "--". */
static int parse_options(struct cursor *c, struct sudo_options *o, struct err *e)
{
    for (; c->at < c->argc; c->at++) {
        const char *word = c->argv[c->at];
        if (word[0] != '-' || word[1] == '\0')
            return 0;
        if (strcmp(word, "--") == 0) {
            c->at++;
            return 0;
        }
        int rc = word[1] == '-' ? parse_word(c, o, e) : parse_letters(c, o, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int sudo_options_parse(int argc, char **argv, struct sudo_options *out, struct err *e)
{
    struct sudo_options o = { .user = "root" };
    struct cursor c = { argv, (size_t)(argc > 0 ? argc : 0), 1 };

    if (parse_options(&c, &o, e) < 0)
        return -EINVAL;
    bool any = c.at > 1;
    c.at = c.at < c.argc ? c.at : c.argc;
    o.vars = argv + c.at;
    while (c.at < c.argc && is_assignment(argv[c.at]))
        c.at++, o.n_vars++;
    o.args = argv + c.at;
    o.n_args = c.argc - c.at;
    if (o.n_args > 0 && o.mode == SUDO_VALIDATE)
        o.mode = SUDO_RUN; /* sudo -k command */
    if (o.mode == SUDO_RUN && o.n_args == 0 && !(o.flags & (SUDO_LOGIN | SUDO_SHELL)))
        return err_say(e, EINVAL, any ? "no command given" : "usage: sudo [options] command");
    if (strlen(o.user) >= SUDO_USER_MAX || o.user[0] == '\0')
        return err_say(e, EINVAL, "the name of the user is empty or too long");
    *out = o;
    return 0;
}
