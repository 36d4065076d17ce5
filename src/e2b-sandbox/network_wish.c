/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/network_wish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "codec/json.h"

void network_wish_fini(struct network_wish *w)
{
    free(w->text);
    free(w->rule);
    *w = (struct network_wish){ 0 };
}

static int refuse(const char *prefix, const char *field, const char *what_to_do, struct err *e)
{
    return err_say(e, EINVAL, "field '%s%s' is not supported by this server: %s", prefix, field,
                   what_to_do);
}

static bool says_something(const json_t *v)
{
    if (json_is_object(v))
        return json_object_size(v) > 0;
    if (json_is_array(v))
        return json_array_size(v) > 0;
    return v && !json_is_null(v);
}

static int check_unsupported(const json_t *fields, const char *prefix, struct err *e)
{
    static const struct {
        const char *field, *what_to_do;
    } other[] = {
        { "rules", "it does not change requests on their way; leave it out" },
        { "egressProxy", "it does not speak to proxies; leave it out" },
        { "maskRequestHost", "it passes the Host header on as it is; leave it out" },
        { "httpsPorts", "names are checked on port 443 only; leave it out" },
    };
    bool is_public = true;

    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        if (says_something(json_object_get(fields, other[i].field)))
            return refuse(prefix, other[i].field, other[i].what_to_do, e);
    if (json_get_bool(fields, "allowPublicTraffic", &is_public, e) < 0)
        return *prefix ? err_wrap(e, "network") : -e->code;
    return is_public ? 0
                     : refuse(prefix, "allowPublicTraffic",
                              "false needs traffic tokens; leave it out", e);
}

/* One list: its entries as rules, and as text. */
static int take_list(const json_t *fields, const char *prefix, const char *field, bool allow,
                     struct network_wish *w, struct buf *text, struct err *e)
{
    json_t *list = NULL, *item;
    struct err why = { 0 };
    size_t i;

    if (json_get_array(fields, field, &list, e) < 0)
        return *prefix ? err_wrap(e, "network") : -e->code;
    buf_addf(text, "\"%s\":[", field);
    json_array_foreach(list, i, item)
    {
        struct str s = { json_string_value(item), json_string_length(item) };
        if (!json_is_string(item))
            return err_say(e, EINVAL, "field '%s%s[%zu]' must be a string", prefix, field, i);
        if (w->policy.n == EGRESS_RULES_MAX)
            return err_say(e, EINVAL, "field '%s%s': there may be at most %u entries in all",
                           prefix, field, EGRESS_RULES_MAX);
        if (egress_rule_parse(s, allow, &w->rule[w->policy.n], &why) < 0)
            return err_say(e, EINVAL, "field '%s%s[%zu]' %s", prefix, field, i, why.text);
        if (i > 0)
            buf_add_char(text, ',');
        json_write_str(text, s);
        w->policy.n++;
    }
    buf_add_char(text, ']');
    return 0;
}

/* A denied "everything" is the same as a closed policy, and says it better. */
static void close_if_all_is_denied(struct network_wish *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->policy.n; i++) {
        if (!w->rule[i].allow && egress_rule_is_everything(&w->rule[i]))
            w->policy.open = false;
        else
            w->rule[n++] = w->rule[i];
    }
    w->policy.n = n;
}

/* A name that is allowed where everything is allowed would promise what nobody keeps. */
static int check_names(const struct network_wish *w, const char *prefix, struct err *e)
{
    for (size_t i = 0; i < w->policy.n; i++)
        if (w->policy.open && w->rule[i].kind != EGRESS_CIDR)
            return err_say(e, EINVAL,
                           "field '%sallowOut': a domain needs '0.0.0.0/0' in %sdenyOut, or "
                           "allow_internet_access false",
                           prefix, prefix);
    return 0;
}

static int check_size(const struct network_wish *w, const char *prefix, struct err *e)
{
    AUTO_FREE struct egress_region *region = calloc(EGRESS_REGIONS_MAX, sizeof *region);

    if (!region)
        return err_set(e, ENOMEM, "check a policy");
    return egress_compile(&w->policy, region, EGRESS_REGIONS_MAX) < 0
               ? err_say(e, EINVAL,
                         "field '%sdenyOut': these entries cut the address space "
                         "into too many pieces",
                         prefix)
               : 0;
}

static int take_lists(const json_t *fields, const char *prefix, struct network_wish *w,
                      struct err *e)
{
    AUTO_BUF struct buf text = BUF_INIT(NETWORK_TEXT_MAX);

    buf_add_char(&text, '{');
    if (take_list(fields, prefix, "allowOut", true, w, &text, e) < 0)
        return -e->code;
    w->asks_for_access = w->policy.n > 0;
    buf_add_char(&text, ',');
    if (take_list(fields, prefix, "denyOut", false, w, &text, e) < 0)
        return -e->code;
    buf_add_char(&text, '}');
    w->text = buf_ok(&text) ? strdup(buf_cstr(&text)) : NULL;
    return w->text ? 0 : err_set(e, ENOMEM, "take a policy");
}

int network_wish_parse(const json_t *fields, const char *prefix, enum internet_wish internet,
                       struct network_wish *out, struct err *e)
{
    AUTO_NETWORK_WISH struct network_wish w = { .internet = internet };

    w.rule = calloc(EGRESS_RULES_MAX, sizeof *w.rule);
    if (!w.rule)
        return err_set(e, ENOMEM, "take a policy");
    w.policy = (struct egress_policy){ .open = internet != INTERNET_DENIED, .rule = w.rule };
    if (fields &&
        (check_unsupported(fields, prefix, e) < 0 || take_lists(fields, prefix, &w, e) < 0))
        return -e->code;
    close_if_all_is_denied(&w);
    if (check_names(&w, prefix, e) < 0 || check_size(&w, prefix, e) < 0)
        return -e->code;
    *out = w;
    w = (struct network_wish){ 0 };
    return 0;
}

bool network_wish_needs_network(const struct network_wish *w)
{
    return w->policy.open || w->asks_for_access;
}
