/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/revocation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "e2b-sandbox/lifecycle.h"

static const struct told anybody;

static void take_kid(const char *kid, uint8_t out[8])
{
    struct digest d = digest_of(str_from(kid));
    memcpy(out, d.byte, 8);
}

struct told revocation_told(const struct principal *who)
{
    struct told t = { 0 };

    memcpy(t.credential, who->credential.byte, sizeof t.credential);
    if (who->is_token)
        take_kid(who->kid, t.kid);
    return t;
}

static bool is_same(const struct told *a, const struct told *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_noted(const struct sandbox_facts *f, const struct told *t)
{
    for (uint32_t i = 0; i < f->n_told; i++)
        if (is_same(&f->told[i], t) || is_same(&f->told[i], &anybody))
            return true;
    return false;
}

/* Under change_lock. */
static bool note(struct app *a, struct sandbox *s, const struct told *t)
{
    struct told told[TOLD_MAX];
    uint32_t n = s->facts.n_told;
    struct err e;

    if (is_noted(&s->facts, t))
        return true;
    memcpy(told, s->facts.told, sizeof told);
    if (n == TOLD_MAX) { /* too many to tell apart */
        told[0] = anybody;
        n = 1;
    } else {
        told[n++] = *t;
    }
    sandbox_set_told(s, told, n);
    if (registry_set_token(a->registry, &s->facts.id, s->facts.token, told, n, &e) == 0)
        return true;
    log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
    return false;
}

bool revocation_note_told(struct app *a, struct sandbox *s, const struct principal *who)
{
    const struct told t = revocation_told(who);

    (void)pthread_mutex_lock(&s->change_lock);
    bool ok = note(a, s, &t);
    (void)pthread_mutex_unlock(&s->change_lock);
    return ok && !auth_is_revoked(a->auth, who);
}

/* --- matching --- */

static bool concerns_one(const struct revoked *what, const struct told *t)
{
    static const uint8_t none[8];
    uint8_t kid[8];

    if (is_same(t, &anybody))
        return true;
    if (what->kid[0]) {
        take_kid(what->kid, kid);
        return memcmp(kid, t->kid, sizeof kid) == 0;
    }
    if (what->user[0])
        return memcmp(none, t->kid, sizeof none) != 0; /* any token, of its owner */
    return memcmp(what->credential.byte, t->credential, sizeof t->credential) == 0;
}

static bool concerns(const struct revoked *what, struct sandbox *s)
{
    bool does = false;

    if (what->user[0] && strcmp(what->user, s->facts.owner) != 0)
        return false;
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->facts.n_told && !does; i++)
        does = concerns_one(what, &s->facts.told[i]);
    (void)pthread_mutex_unlock(&s->lock);
    return does;
}

/* --- applying --- */

static void lock(struct sandbox *s)
{
    (void)atomic_fetch_add(&s->locks, 1);
    (void)atomic_fetch_add(&s->epoch, 1);
}

/* A sandbox that is still starting has told nobody, and notices by itself that its maker is gone. */
static void change_token(struct app *a, struct sandbox *s)
{
    char quoted[LOG_QUOTE_MAX];
    struct failure f;
    struct err e = { 0 };
    int rc = 0;

    (void)pthread_mutex_lock(&s->change_lock);
    if (s->facts.token[0] && sandbox_look(s).state == SANDBOX_RUNNING)
        rc = lifecycle_change_token(a, s, &e);
    (void)pthread_mutex_unlock(&s->change_lock);
    if (rc == 0)
        return;
    log_error("sandbox_token_not_changed", "sandbox=%s err=%s", s->facts.id.text,
              log_quote(str_from(e.text), quoted));
    (void)lifecycle_kill(a, s, &f); /* 404: it has ended meanwhile, which is why */
}

int revocation_apply(struct app *a, const struct revoked *what)
{
    AUTO_FREE struct sandbox **all = calloc(WARDEN_MAX_SANDBOXES, sizeof(struct sandbox *));
    struct http_server *server = atomic_load(&a->server);
    size_t n = 0;

    if (!all)
        return -ENOMEM;
    size_t n_all = fleet_all(a->fleet, all);
    for (size_t i = 0; i < n_all; i++) {
        if (concerns(what, all[i])) {
            lock(all[i]);
            all[n++] = all[i];
        } else {
            sandbox_put(all[i]);
        }
    }
    if (n > 0 && server)
        http_server_end_relays(server);
    for (size_t i = 0; i < n; i++) {
        change_token(a, all[i]);
        (void)atomic_fetch_sub(&all[i]->locks, 1);
        sandbox_put(all[i]);
    }
    return 0;
}
