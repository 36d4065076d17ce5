/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/env_file.h"

#include "base/auto.h"
#include "secrets/envelope.h"

/* Hardening guide, Environment Variable Security (requirements R86-R90); E2B_JWT_SECRET by correction C30. */
static const struct {
    const char *name;
    enum sensitivity is;
} known[] = {
    { "E2B_API_KEY", SENSITIVITY_HIGH },
    { "E2B_DESKTOP_AUTH_TOKEN", SENSITIVITY_HIGH },
    { "E2B_MCP_SERVER_TOKEN", SENSITIVITY_HIGH },
    { "E2B_JWT_SECRET", SENSITIVITY_HIGH },
    { "PRESIGN_SHARED_SECRET", SENSITIVITY_HIGH },
    { "MINIO_SECRET_KEY", SENSITIVITY_HIGH },
    { "E2B_SANDBOX_URL", SENSITIVITY_LOW },
    { "E2B_DESKTOP_URL", SENSITIVITY_LOW },
};

enum sensitivity env_sensitivity(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(name, str_from(known[i].name)))
            return known[i].is;
    return SENSITIVITY_NONE;
}

static struct str unquoted(struct str v)
{
    if (v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'') && v.p[v.n - 1] == v.p[0])
        return str_sub(v, 1, v.n - 2);
    return v;
}

bool env_next(struct str *left, struct env_row *out, bool *bad)
{
    *bad = false;
    *out = (struct env_row){ 0 };
    if (left->n == 0)
        return false;
    (void)str_cut(*left, '\n', &out->line, left);
    struct str s = str_trim(out->line), value;
    if (s.n > 0 && s.p[s.n - 1] == '\r')
        s.n--;
    if (s.n == 0 || s.p[0] == '#')
        return true;
    if (str_starts(s, STR("export ")))
        s = str_trim(str_sub(s, sizeof "export", s.n));
    if (!str_cut(s, '=', &out->name, &value) || !envelope_name_ok(out->name)) {
        out->name = STR("");
        *bad = true;
        return true;
    }
    out->value = unquoted(value);
    return true;
}
