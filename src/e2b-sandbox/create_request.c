/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/create_request.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "codec/json.h"

#define TIMEOUT_V1_S 15
#define TIMEOUT_V2_S 300

void create_request_fini(struct create_request *r)
{
    json_decref(r->body);
    r->body = NULL;
    network_wish_fini(&r->network);
}

json_t *body_parse(struct str body, bool may_be_empty, struct err *e)
{
    if (body.n == 0) {
        json_t *empty = may_be_empty ? json_object() : NULL;
        if (!empty)
            (void)err_say(e, EINVAL, "the body is empty, but must be a JSON object");
        return empty;
    }
    json_t *j = json_parse(body, e);
    if (!j) {
        (void)err_wrap(e, "the body");
    } else if (!json_is_object(j)) {
        json_decref(j);
        j = NULL;
        (void)err_say(e, EINVAL, "the body must be a JSON object");
    }
    return j;
}

/* --- templateID --- */

static bool is_tag(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.'))
            return false;
    }
    return s.n > 0 && s.n <= 128;
}

int template_ref_parse(struct str text, struct template_ref *out)
{
    struct template_ref r = { .has_known_tag = true };
    struct str space, name, tag;

    if (str_copy(text, r.text, sizeof r.text) < 0)
        return -EINVAL;
    for (char *p = r.text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    struct str all = str_from(r.text);
    if (!str_cut(all, '/', &space, &name))
        name = all;
    else if (!template_name_ok(space))
        return -EINVAL;
    if (str_cut(name, ':', &name, &tag)) {
        if (!is_tag(tag))
            return -EINVAL;
        r.has_known_tag = str_eq(tag, STR("default")) || str_eq(tag, STR("latest"));
    }
    if (!template_name_ok(name))
        return -EINVAL;
    (void)str_copy(name, r.name, sizeof r.name); /* template_name_ok: it fits */
    *out = r;
    return 0;
}

static int read_template(const json_t *j, struct create_request *r, struct err *e)
{
    const char *text = "";
    int rc = json_get_str(j, "templateID", TEMPLATE_REF_MAX, &text, e);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_say(e, EINVAL, "field 'templateID' is missing");
    if (template_ref_parse(str_from(text), &r->template) < 0)
        return err_say(
            e, EINVAL,
            "field 'templateID' must be [namespace/]name[:tag] of a-z, 0-9, '-' and '_'");
    return 0;
}

/* --- what this server has --- */

/* A name with '=' or nothing in it cannot be set. */
static int check_env_names(const json_t *env, struct err *e)
{
    const char *key;
    json_t *value;

    json_object_foreach(
        (json_t *)(uintptr_t)env, key,
        value) if (*key == 0 ||
                   strchr(key, '=')) return err_say(e, EINVAL,
                                                    "field 'envVars': '%.64s' is no name of an "
                                                    "environment variable",
                                                    key);
    return 0;
}

/* All of it is in memory as long as the sandbox, and in every list. */
static int check_metadata_size(const json_t *metadata, struct err *e)
{
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) n +=
        strlen(key) + json_string_length(value);
    return n > METADATA_TOTAL_MAX
               ? err_say(e, EINVAL, "field 'metadata' may have at most %u bytes in all",
                         METADATA_TOTAL_MAX)
               : 0;
}

static int read_maps(const json_t *j, struct create_request *r, struct err *e)
{
    if (json_get_str_map(j, "metadata", METADATA_PAIRS_MAX, METADATA_BYTES_MAX, &r->metadata,
                         e) < 0 ||
        json_get_str_map(j, "envVars", ENV_PAIRS_MAX, ENV_BYTES_MAX, &r->env, e) < 0)
        return -e->code;
    return check_metadata_size(r->metadata, e) < 0 ? -e->code : check_env_names(r->env, e);
}

static int read_options(const json_t *j, enum create_version version, uint32_t max_timeout_s,
                        struct create_request *r, struct err *e)
{
    int64_t timeout = version == CREATE_V1 ? TIMEOUT_V1_S : TIMEOUT_V2_S;

    if (timeout > max_timeout_s)
        timeout = max_timeout_s;
    if (json_get_i64(j, "timeout", 1, max_timeout_s, &timeout, e) < 0)
        return -e->code;
    r->timeout_s = (uint32_t)timeout;
    /* The default of the hardened server: a token. v2 has no such field and always gives one. */
    r->secure = true;
    if (version == CREATE_V1 && json_get_bool(j, "secure", &r->secure, e) < 0)
        return -e->code;
    return 0;
}

/* --- what it does not have --- */

static int refuse(const char *field, const char *what_to_do, struct err *e)
{
    return err_say(e, EINVAL, "field '%s' is not supported by this server: %s", field,
                   what_to_do);
}

static int refuse_if_true(const json_t *j, const char *field, const char *what_to_do,
                          struct err *e)
{
    bool v = false;

    if (json_get_bool(j, field, &v, e) < 0)
        return -e->code;
    return v ? refuse(field, what_to_do, e) : 0;
}

static bool says_something(const json_t *v)
{
    if (json_is_object(v))
        return json_object_size(v) > 0;
    return json_is_array(v) ? json_array_size(v) > 0 : v && !json_is_null(v);
}

static int read_network(const json_t *j, struct create_request *r, struct err *e)
{
    json_t *network = NULL;
    bool internet = false;
    int rc = json_get_bool(j, "allow_internet_access", &internet, e);

    if (rc < 0 || json_get_obj(j, "network", &network, e) < 0)
        return -e->code;
    enum internet_wish wish = rc == 0    ? INTERNET_UNSET
                              : internet ? INTERNET_ALLOWED
                                         : INTERNET_DENIED;
    if (network_wish_parse(network, NETWORK_CREATE, "network.", wish, &r->network, e) < 0)
        return -e->code;
    return r->network.is_private && !r->secure
               ? err_say(e, EINVAL,
                         "field 'network.allowPublicTraffic': false needs a secured sandbox: "
                         "leave 'secure' out or set it to true")
               : 0;
}

static int check_auto(const json_t *j, struct err *e)
{
    json_t *resume = NULL;
    bool memory = true;

    if (refuse_if_true(j, "autoPause", "sandboxes are ended at their time-out; set it to false",
                       e) < 0 ||
        json_get_bool(j, "autoPauseMemory", &memory, e) < 0 ||
        json_get_obj(j, "autoResume", &resume, e) < 0)
        return -e->code;
    if (!memory)
        return refuse("autoPauseMemory", "it needs autoPause; leave it out", e);
    if (resume &&
        refuse_if_true(resume, "enabled", "nothing is paused here; set it to false", e) < 0)
        return err_wrap(e, "autoResume");
    return 0;
}

static int check_unsupported(const json_t *j, struct err *e)
{
    static const struct {
        const char *field, *what_to_do;
    } other[] = {
        { "volumeMounts", "there are no volumes; leave it out" },
        { "iam", "no identity tokens are issued; leave it out" },
        { "mcp", "no template with an MCP gateway is installed; leave it out" },
    };

    if (check_auto(j, e) < 0)
        return -e->code;
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        if (says_something(json_object_get(j, other[i].field)))
            return refuse(other[i].field, other[i].what_to_do, e);
    return 0;
}

int create_request_parse(struct str body, enum create_version version, uint32_t max_timeout_s,
                         struct create_request *out, struct err *e)
{
    AUTO_CREATE_REQUEST struct create_request r = { .body = body_parse(body, false, e) };

    if (!r.body)
        return -e->code;
    if (read_template(r.body, &r, e) < 0 ||
        read_options(r.body, version, max_timeout_s, &r, e) < 0 ||
        read_maps(r.body, &r, e) < 0 || read_network(r.body, &r, e) < 0 ||
        check_unsupported(r.body, e) < 0)
        return -e->code;
    *out = r;
    r.body = NULL; /* out owns it now, and the rest */
    r.network = (struct network_wish){ 0 };
    return 0;
}
