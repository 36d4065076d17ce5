/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/settings.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "codec/json.h"

#define ID_MAX 120u

static const char *const OWN_NAMES[] = { "E2B_SANDBOX", "E2B_SANDBOX_ID", "E2B_TEMPLATE_ID" };

int settings_init(struct settings *s)
{
    *s = (struct settings){ .lock = PTHREAD_MUTEX_INITIALIZER, .default_user = "user" };
    s->env = json_pack("{s:s}", "E2B_SANDBOX", "true");
    return s->env ? 0 : -ENOMEM;
}

void settings_fini(struct settings *s)
{
    json_decref(s->env);
    s->env = NULL;
    explicit_bzero(s->token, sizeof s->token);
}

struct init_fields { /* of a body of POST /init; NULL where absent; borrowed */
    const char *token, *user, *workdir, *sandbox, *template;
    json_t *env;
};

static int read_fields(const json_t *body, struct init_fields *f, struct err *e)
{
    if (json_get_str(body, "accessToken", SETTINGS_TOKEN_MAX, &f->token, e) < 0 ||
        json_get_str(body, "defaultUser", USER_NAME_MAX - 1, &f->user, e) < 0 ||
        json_get_str(body, "defaultWorkdir", PATHS_MAX - 1, &f->workdir, e) < 0 ||
        json_get_str(body, "sandboxId", ID_MAX, &f->sandbox, e) < 0 ||
        json_get_str(body, "templateId", ID_MAX, &f->template, e) < 0 ||
        json_get_str_map(body, "envVars", SETTINGS_ENV_PAIRS, SETTINGS_ENV_BYTES, &f->env, e) <
            0)
        return -EINVAL;
    return 0;
}

static bool is_own_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(OWN_NAMES); i++)
        if (strcmp(OWN_NAMES[i], name) == 0)
            return true;
    return false;
}

static int merge_env(json_t *env, json_t *given, struct err *e)
{
    const char *name;
    json_t *value;

    json_object_foreach(given, name, value)
    {
        if (name[0] == '\0' || strchr(name, '='))
            return err_say(e, EINVAL, "field 'envVars': '%.64s' is no name of a variable",
                           name);
        if (!is_own_name(name) && json_object_set(env, name, value) < 0)
            return err_say(e, ENOMEM, "out of memory");
    }
    if (json_object_size(env) > SETTINGS_ENV_PAIRS)
        return err_say(e, EINVAL, "field 'envVars' gives more than %u variables",
                       SETTINGS_ENV_PAIRS);
    return 0;
}

static int set_own(json_t *env, const char *name, const char *value, struct err *e)
{
    if (value && json_object_set_new(env, name, json_string(value)) < 0)
        return err_say(e, ENOMEM, "out of memory");
    return 0;
}

static int apply(struct settings *s, const struct init_fields *f, struct err *e)
{
    json_t *env = json_copy(s->env);
    int rc = env ? merge_env(env, f->env, e) : err_say(e, ENOMEM, "out of memory");

    if (rc == 0)
        rc = set_own(env, "E2B_SANDBOX_ID", f->sandbox, e);
    if (rc == 0)
        rc = set_own(env, "E2B_TEMPLATE_ID", f->template, e);
    if (rc < 0) {
        json_decref(env);
        return rc;
    }
    json_decref(s->env);
    s->env = env;
    /* The lengths were checked when the fields were read. */
    if (f->token)
        (void)str_copy(str_from(f->token), s->token, sizeof s->token);
    if (f->user && f->user[0])
        (void)str_copy(str_from(f->user), s->default_user, sizeof s->default_user);
    if (f->workdir)
        (void)str_copy(str_from(f->workdir), s->default_workdir, sizeof s->default_workdir);
    return 0;
}

int settings_update(struct settings *s, const json_t *body, struct str given, struct err *e)
{
    struct init_fields f = { 0 };
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    if (s->token[0] && !str_eq_secret(given, str_from(s->token)))
        rc = err_say(e, EACCES, "wrong access token");
    else if ((rc = read_fields(body, &f, e)) == 0)
        rc = apply(s, &f, e);
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

int settings_default_env(struct settings *s, json_t *env)
{
    (void)pthread_mutex_lock(&s->lock);
    int rc = json_object_update_missing(s->env, env);
    (void)pthread_mutex_unlock(&s->lock);
    return rc < 0 ? -ENOMEM : 0;
}

bool settings_has_token(struct settings *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool has = s->token[0] != '\0';
    (void)pthread_mutex_unlock(&s->lock);
    return has;
}

bool settings_token_is(struct settings *s, struct str given)
{
    (void)pthread_mutex_lock(&s->lock);
    bool same = str_eq_secret(given, str_from(s->token));
    (void)pthread_mutex_unlock(&s->lock);
    return same;
}

void settings_token(struct settings *s, char out[SETTINGS_TOKEN_MAX + 1])
{
    (void)pthread_mutex_lock(&s->lock);
    memcpy(out, s->token, sizeof s->token);
    (void)pthread_mutex_unlock(&s->lock);
}

void settings_default_user(struct settings *s, char out[USER_NAME_MAX])
{
    (void)pthread_mutex_lock(&s->lock);
    memcpy(out, s->default_user, sizeof s->default_user);
    (void)pthread_mutex_unlock(&s->lock);
}

void settings_default_workdir(struct settings *s, char out[PATHS_MAX])
{
    (void)pthread_mutex_lock(&s->lock);
    memcpy(out, s->default_workdir, sizeof s->default_workdir);
    (void)pthread_mutex_unlock(&s->lock);
}

json_t *settings_env(struct settings *s)
{
    (void)pthread_mutex_lock(&s->lock);
    json_t *env = json_deep_copy(s->env);
    (void)pthread_mutex_unlock(&s->lock);
    return env;
}

void settings_identity(struct settings *s, const char *name, char out[128])
{
    (void)pthread_mutex_lock(&s->lock);
    const char *v = json_string_value(json_object_get(s->env, name));
    if (str_copy(str_from(v), out, 128) < 0)
        out[0] = '\0';
    (void)pthread_mutex_unlock(&s->lock);
}
