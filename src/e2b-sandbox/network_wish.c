/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/network_wish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "codec/http1_pass.h"
#include "codec/json.h"

void network_wish_fini(struct network_wish *w)
{
    free(w->text);
    free(w->rule);
    if (w->transform)
        explicit_bzero(w->transform, w->n_transforms * sizeof *w->transform);
    free(w->transform);
    if (w->secrets)
        explicit_bzero(w->secrets, strlen(w->secrets));
    free(w->secrets);
    explicit_bzero(w->traffic_token, sizeof w->traffic_token);
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
        { "egressProxy", "it does not speak to proxies; leave it out" },
        { "httpsPorts", "names are checked on port 443 only; leave it out" },
    };

    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        if (says_something(json_object_get(fields, other[i].field)))
            return refuse(prefix, other[i].field, other[i].what_to_do, e);
    return 0;
}

/* --- the way in --- */

/* A host name and a port, with ${PORT} for the port or in the name. */
static bool is_mask(struct str s)
{
    static const char ok[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
    const struct str port = STR("${PORT}");

    if (s.n == 0 || s.n > NETWORK_HOST_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (str_starts(str_sub(s, i, s.n), port))
            i += port.n - 1;
        else if (s.p[i] == 0 || !strchr(ok, s.p[i]))
            return false;
    }
    return true;
}

static int take_ingress(const json_t *fields, enum network_for what, const char *prefix,
                        struct network_wish *w, struct err *e)
{
    bool is_public = true;
    const char *mask = "";

    if (json_get_bool(fields, "allowPublicTraffic", &is_public, e) < 0 ||
        json_get_str(fields, "maskRequestHost", NETWORK_HOST_MAX, &mask, e) < 0)
        return *prefix ? err_wrap(e, "network") : -e->code;
    if (what == NETWORK_UPDATE && (!is_public || *mask))
        return err_say(e, EINVAL,
                       "field '%s%s' holds for a sandbox's whole life and is set when it is "
                       "created: leave it out",
                       prefix, is_public ? "maskRequestHost" : "allowPublicTraffic");
    if (*mask && !is_mask(str_from(mask)))
        return err_say(e, EINVAL,
                       "field '%smaskRequestHost' must be a host name, with a port or ${PORT} "
                       "behind a colon if need be",
                       prefix);
    w->is_private = !is_public;
    return str_copy(str_from(mask), w->mask_host,
                    sizeof w->mask_host); /* json_get_str: it fits */
}

/* --- rules --- */

struct rules {
    const char *prefix;
    struct network_wish *w;
    struct buf *text;
    const char *host;
    size_t bytes; /* of the headers of this host */
};

static int bad_header(const struct rules *r, const char *name, const char *why, struct err *e)
{
    return err_say(e, EINVAL, "field '%srules.%.128s[0].transform.headers': header '%.64s' %s",
                   r->prefix, r->host, name, why);
}

/* What is wrong with a value, which must not be repeated; NULL if nothing is. */
static const char *value_fault(struct str value)
{
    if (str_eq(value, STR(NETWORK_HIDDEN)))
        return "has the value '" NETWORK_HIDDEN
               "', which this server shows in place of a value "
               "that it keeps: send the value itself";
    for (size_t i = 0; i < value.n; i++)
        if (str_starts(str_sub(value, i, value.n), STR("${e2b.")))
            return "has a placeholder ${e2b...}, but this server keeps no secrets: send the "
                   "value "
                   "itself";
    return http1_set_value_ok(value) ? NULL
                                     : "must have 1 to 2048 visible ASCII characters, without "
                                       "blanks around them";
}

static int take_header(struct rules *r, const char *name, const json_t *value, struct err *e)
{
    struct str v = { json_string_value(value), json_string_length(value) };
    struct transform *t = &r->w->transform[r->w->n_transforms];

    if (!http1_set_name_ok(str_from(name)))
        return bad_header(
            r, name,
            "is no header name of 1 to 64 characters, or one that frames or routes "
            "a request: leave it out",
            e);
    if (!json_is_string(value))
        return bad_header(r, name, "must have a string as its value", e);
    const char *fault = value_fault(v);
    if (fault)
        return bad_header(r, name, fault, e);
    r->bytes += strlen(name) + v.n;
    if (r->bytes > TRANSFORM_BYTES_MAX)
        return err_say(e, EINVAL,
                       "field '%srules.%.128s': its headers may have at most %u bytes in all",
                       r->prefix, r->host, TRANSFORM_BYTES_MAX);
    (void)transform_host_parse(str_from(r->host), t); /* take_host: it is one */
    t->name_n = (uint8_t)strlen(name);
    t->value_n = (uint16_t)v.n;
    memcpy(t->name, name, t->name_n);
    memcpy(t->value, v.p, v.n);
    r->w->n_transforms++;
    return 0;
}

static bool has_twin(const json_t *headers, const char *name)
{
    const char *other;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)headers, other, value)
    {
        if (other != name && str_eq_nocase(str_from(other), str_from(name)))
            return true;
    }
    return false;
}

static int take_headers(struct rules *r, const json_t *headers, struct err *e)
{
    const char *name, *separator = "";
    json_t *value;

    if (json_object_size(headers) > TRANSFORM_HEADERS_MAX)
        return err_say(e, EINVAL, "field '%srules.%.128s': there may be at most %u headers",
                       r->prefix, r->host, TRANSFORM_HEADERS_MAX);
    r->bytes = 0;
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (has_twin(headers, name))
            return bad_header(r, name, "is there twice: names differ in more than capitals", e);
        if (take_header(r, name, value, e) < 0)
            return -e->code;
        buf_add_cstr(r->text, separator);
        json_write_str(r->text, str_from(name));
        buf_add_cstr(r->text, ":\"" NETWORK_HIDDEN "\"");
        separator = ",";
    }
    return 0;
}

static int take_host(struct rules *r, const json_t *list, struct err *e)
{
    struct transform name;
    const json_t *one = json_array_get(list, 0);
    json_t *transform = NULL, *headers = NULL;

    if (transform_host_parse(str_from(r->host), &name) < 0)
        return err_say(e, EINVAL,
                       "field '%srules': '%.128s' must be a domain or *.domain of at most %u "
                       "characters",
                       r->prefix, r->host, TRANSFORM_HOST_MAX);
    if (!json_is_array(list) || json_array_size(list) > 1 || (one && !json_is_object(one)))
        return err_say(e, EINVAL,
                       "field '%srules.%.128s' must be an array of at most one object "
                       "{\"transform\":{\"headers\":{...}}}",
                       r->prefix, r->host);
    if (one && (json_get_obj(one, "transform", &transform, e) < 0 ||
                (transform && json_get_obj(transform, "headers", &headers, e) < 0)))
        return err_wrap(e, "field '%srules.%.128s[0]'", r->prefix, r->host);
    buf_add_cstr(r->text, one ? "[{\"transform\":{\"headers\":{" : "[");
    if (headers && take_headers(r, headers, e) < 0)
        return -e->code;
    buf_add_cstr(r->text, one ? "}}}]" : "]");
    return 0;
}

static bool host_has_twin(const struct network_wish *w, size_t first)
{
    for (size_t i = 0; i < first; i++)
        if (first < w->n_transforms &&
            w->transform[i].wildcard == w->transform[first].wildcard &&
            strcmp(w->transform[i].host, w->transform[first].host) == 0)
            return true;
    return false;
}

static int take_hosts(struct rules *r, const json_t *rules, struct err *e)
{
    const char *separator = "";
    json_t *list;

    buf_add_cstr(r->text, ",\"rules\":{");
    json_object_foreach((json_t *)(uintptr_t)rules, r->host, list)
    {
        size_t first = r->w->n_transforms;
        buf_add_cstr(r->text, separator);
        json_write_str(r->text, str_from(r->host));
        buf_add_char(r->text, ':');
        if (take_host(r, list, e) < 0)
            return -e->code;
        if (host_has_twin(r->w, first))
            return err_say(e, EINVAL, "field '%srules': '%.128s' is there twice", r->prefix,
                           r->host);
        separator = ",";
    }
    buf_add_char(r->text, '}');
    return 0;
}

static int take_rules(const json_t *fields, const char *prefix, struct network_wish *w,
                      struct buf *text, struct err *e)
{
    AUTO_BUF struct buf secrets = BUF_INIT(NETWORK_SECRETS_MAX);
    struct rules r = { .prefix = prefix, .w = w, .text = text };
    json_t *rules = NULL;

    if (json_get_obj(fields, "rules", &rules, e) < 0)
        return *prefix ? err_wrap(e, "network") : -e->code;
    if (!rules || json_object_size(rules) == 0)
        return 0;
    if (json_object_size(rules) > TRANSFORM_HOSTS_MAX)
        return err_say(e, EINVAL, "field '%srules': there may be at most %u domains", prefix,
                       TRANSFORM_HOSTS_MAX);
    w->transform = calloc(TRANSFORM_MAX, sizeof *w->transform);
    if (!w->transform)
        return err_set(e, ENOMEM, "take rules");
    if (take_hosts(&r, rules, e) < 0)
        return -e->code;
    w->asks_for_access = true;
    (void)json_write(&secrets, rules); /* failing shows in buf_ok */
    w->secrets = buf_ok(&secrets) ? strdup(buf_cstr(&secrets)) : NULL;
    if (secrets.p)
        explicit_bzero(secrets.p, secrets.n);
    return w->secrets ? 0 : err_set(e, ENOMEM, "take rules");
}

/* --- addresses and names --- */

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

static void add_ingress(struct buf *text, const struct network_wish *w)
{
    if (w->is_private)
        buf_add_cstr(text, ",\"allowPublicTraffic\":false");
    if (!w->mask_host[0])
        return;
    buf_add_cstr(text, ",\"maskRequestHost\":");
    json_write_str(text, str_from(w->mask_host));
}

int network_wish_keep_ingress(struct network_wish *w, const struct network_wish *of)
{
    AUTO_BUF struct buf text = BUF_INIT(NETWORK_TEXT_MAX);

    w->is_private = of->is_private;
    memcpy(w->mask_host, of->mask_host, sizeof w->mask_host);
    memcpy(w->traffic_token, of->traffic_token, sizeof w->traffic_token);
    if (!w->is_private && !w->mask_host[0])
        return 0;
    buf_add_cstr(&text, w->text ? w->text : "{\"allowOut\":[],\"denyOut\":[]}");
    buf_truncate(&text, text.n > 0 ? text.n - 1 : 0); /* the brace at its end */
    add_ingress(&text, w);
    buf_add_char(&text, '}');
    char *grown = buf_ok(&text) ? strdup(buf_cstr(&text)) : NULL;
    if (!grown)
        return -ENOMEM;
    free(w->text);
    w->text = grown;
    return 0;
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
    if (take_rules(fields, prefix, w, &text, e) < 0)
        return -e->code;
    add_ingress(&text, w);
    buf_add_char(&text, '}');
    w->text = buf_ok(&text) ? strdup(buf_cstr(&text)) : NULL;
    return w->text ? 0 : err_set(e, ENOMEM, "take a policy");
}

int network_wish_parse(const json_t *fields, enum network_for what, const char *prefix,
                       enum internet_wish internet, struct network_wish *out, struct err *e)
{
    AUTO_NETWORK_WISH struct network_wish w = { .internet = internet };

    w.rule = calloc(EGRESS_RULES_MAX, sizeof *w.rule);
    if (!w.rule)
        return err_set(e, ENOMEM, "take a policy");
    w.policy = (struct egress_policy){ .open = internet != INTERNET_DENIED, .rule = w.rule };
    if (fields && (check_unsupported(fields, prefix, e) < 0 ||
                   take_ingress(fields, what, prefix, &w, e) < 0 ||
                   take_lists(fields, prefix, &w, e) < 0))
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
