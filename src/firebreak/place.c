/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

#define UID_BASE_DEFAULT 268435456u

bool place_option(struct place *p, int o, char *value)
{
    if (o < PLACE_INSTANCE || o > PLACE_LISTEN)
        return false;
    p->option[o - PLACE_INSTANCE] = value;
    return true;
}

static const char *chosen(const struct place *p, int o, const char *variable)
{
    if (p->option[o - PLACE_INSTANCE])
        return p->option[o - PLACE_INSTANCE];
    const char *v = getenv(variable);
    return v && *v ? v : NULL;
}

static int set_path(char *out, size_t max, const char *given, const char *base,
                    const char *instance, const char *what, struct err *e)
{
    bool is_default = strcmp(instance, "default") == 0;
    int n = given ? snprintf(out, max + 1, "%s", given)
                  : snprintf(out, max + 1, "%s%s%s", base, is_default ? "" : "-",
                             is_default ? "" : instance);

    if (n < 0 || (size_t)n > max)
        return err_say(e, EINVAL, "the path of --%s is longer than %zu bytes", what, max);
    while (n > 1 && out[n - 1] == '/')
        out[--n] = '\0';
    if (out[0] != '/' || n < 2)
        return err_say(e, EINVAL, "--%s must be an absolute path below /, not '%s'", what, out);
    return 0;
}

int place_resolve(struct place *p, struct err *e)
{
    const char *instance = chosen(p, PLACE_INSTANCE, "FIREBREAK_INSTANCE");
    const char *listen = chosen(p, PLACE_LISTEN, "FIREBREAK_LISTEN");
    int rc;

    if (!instance)
        instance = "default";
    /* It becomes part of paths and cgroup names. */
    size_t n = strspn(instance, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (n == 0 || instance[n] || n > PLACE_INSTANCE_MAX || instance[0] == '-')
        return err_say(e, EINVAL,
                       "an instance name is 1 to %u of a-z, 0-9 and '-', not '%.64s'",
                       PLACE_INSTANCE_MAX, instance);
    (void)snprintf(p->instance, sizeof p->instance, "%s", instance);

    rc = set_path(p->state, PLACE_PATH_MAX, chosen(p, PLACE_STATE, "FIREBREAK_STATE"),
                  "/var/lib/firebreak", p->instance, "state", e);
    if (rc < 0)
        return rc;
    rc = set_path(p->run, PLACE_RUN_MAX, chosen(p, PLACE_RUN, "FIREBREAK_RUN"),
                  "/run/firebreak", p->instance, "run", e);
    if (rc < 0)
        return rc;
    if (!listen)
        listen = "127.0.0.1:7070";
    if (strlen(listen) > PLACE_LISTEN_MAX)
        return err_say(e, EINVAL, "--listen is too long: give ADDRESS:PORT");
    (void)snprintf(p->listen, sizeof p->listen, "%s", listen);
    return 0;
}

/* Two instances must not share uids, or their sandboxes would be the same user to the host: "default" has room for the largest
 * table, and each other name gets one of 110 ranges above that. */
uint64_t place_uid_base(const char *instance)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    const uint64_t named = UID_BASE_DEFAULT + UINT64_C(65536) * MAX_SANDBOXES;

    if (strcmp(instance, "default") == 0)
        return UID_BASE_DEFAULT;
    for (const char *c = instance; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return named + hash % 110 * UINT64_C(65536) * MAX_SANDBOXES_NAMED;
}
