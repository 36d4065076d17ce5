/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/throttle.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/rand.h"

#define KEY_BYTES_MAX 256u

struct auth {
    struct registry *registry;
    pthread_rwlock_t lock; /* around these: */
    struct key_row *key;   /* owned */
    uint64_t *prefix; /* owned: the first eight bytes of each one's digest, close together */
    size_t n_keys, cap_keys;
    struct jwt_key token_key[TOKEN_KEYS_MAX];
    size_t n_token_keys;
    struct denylist denied;

    pthread_mutex_t throttle_lock; /* around this: */
    struct throttle throttle;
};

/* --- loading --- */

/* Room for one more. False: out of memory. */
static bool grow(struct auth *a)
{
    if (a->n_keys < a->cap_keys)
        return true;
    size_t cap = a->cap_keys ? 2 * a->cap_keys : 8;
    struct key_row *more = realloc(a->key, cap * sizeof *more);
    if (more)
        a->key = more;
    uint64_t *prefix = realloc(a->prefix, cap * sizeof *prefix);
    if (prefix)
        a->prefix = prefix;
    if (!more || !prefix)
        return false;
    a->cap_keys = cap;
    return true;
}

static uint64_t prefix_of(const struct digest *d)
{
    uint64_t p;
    memcpy(&p, d->byte, sizeof p);
    return p;
}

/* After grow. */
static void add_key(struct auth *a, const struct key_row *k)
{
    a->prefix[a->n_keys] = prefix_of(&k->digest);
    a->key[a->n_keys++] = *k;
}

struct loader {
    struct auth *a;
    int64_t now_s;
    int rc;
};

static void load_key(const struct key_row *k, void *arg)
{
    struct loader *l = arg;

    if (k->revoked_ns > 0)
        return;
    if (grow(l->a))
        add_key(l->a, k);
    else
        l->rc = -ENOMEM;
}

static void load_token_key(const struct jwt_key *k, uint64_t created_ns, void *arg)
{
    struct loader *l = arg;

    (void)created_ns;
    if (l->a->n_token_keys < TOKEN_KEYS_MAX)
        l->a->token_key[l->a->n_token_keys++] = *k;
}

static void load_denied(const struct denied *d, void *arg)
{
    struct loader *l = arg;
    int rc = denylist_add(&l->a->denied, d, l->now_s);

    if (rc < 0)
        l->rc = rc; /* what was revoked must not open again: rather no start than that */
}

int auth_new(struct auth **out, struct registry *r, uint64_t real_ns, struct err *e)
{
    struct auth *a = calloc(1, sizeof *a);
    struct loader l = { a, (int64_t)(real_ns / NS_PER_S), 0 };

    if (!a)
        return err_set(e, ENOMEM, "load the API keys");
    a->registry = r;
    (void)pthread_rwlock_init(&a->lock, NULL);
    (void)pthread_mutex_init(&a->throttle_lock, NULL);
    int rc = registry_each_key(r, load_key, &l, e);
    if (rc == 0)
        rc = registry_each_token_key(r, load_token_key, &l, e);
    if (rc == 0)
        rc = registry_each_denied(r, l.now_s, load_denied, &l, e);
    if (rc == 0 && l.rc < 0)
        rc = err_set(e, -l.rc, "load the API keys and what is revoked");
    if (rc < 0) {
        auth_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    (void)pthread_rwlock_destroy(&a->lock);
    (void)pthread_mutex_destroy(&a->throttle_lock);
    denylist_fini(&a->denied);
    explicit_bzero(a->token_key, sizeof a->token_key);
    free(a->key);
    free(a->prefix);
    free(a);
}

size_t auth_key_count(struct auth *a)
{
    (void)pthread_rwlock_rdlock(&a->lock);
    size_t n = a->n_keys;
    (void)pthread_rwlock_unlock(&a->lock);
    return n;
}

/* --- judging --- */

bool auth_may_see(const struct principal *p, const char *owner, const struct caps *caps)
{
    return strcmp(p->owner, owner) == 0 && caps_cover(&p->caps, caps);
}

static struct str bytes_of(const struct digest *d)
{
    return (struct str){ (const char *)d->byte, sizeof d->byte };
}

static bool check_key(struct auth *a, struct str text, uint64_t real_ns, struct principal *who)
{
    const struct key_row *found = NULL;
    struct digest d = digest_of(text);
    uint64_t wanted = prefix_of(&d);
    size_t at = 0;

    (void)pthread_rwlock_rdlock(&a->lock);
    /* To the end and without a branch, whichever it is. That two keys share a prefix, nobody brings about. */
    for (size_t i = 0; i < a->n_keys; i++) {
        uint64_t differs = a->prefix[i] ^ wanted;
        at |= (i + 1) & (((differs | (0 - differs)) >> 63) - 1);
    }
    if (at > 0 && at <= a->n_keys) {
        const struct key_row *k = &a->key[at - 1];
        if (str_eq_secret(bytes_of(&k->digest), bytes_of(&d)) &&
            (k->expires_ns == 0 || real_ns < k->expires_ns))
            found = k;
    }
    if (found) {
        *who = (struct principal){ .caps = found->caps, .credential = found->digest };
        memcpy(who->owner, found->owner, sizeof who->owner);
    }
    (void)pthread_rwlock_unlock(&a->lock);
    return found != NULL;
}

static struct digest user_digest(const char *user_id)
{
    AUTO_BUF struct buf b = BUF_INIT(OWNER_MAX + sizeof "user ");

    buf_add_cstr(&b, "user ");
    buf_add_cstr(&b, user_id);
    return digest_of(buf_str(&b));
}

enum jwt_reason auth_check_token(struct auth *a, struct str token, uint64_t real_ns,
                                 struct jwt *out, char kid[JWT_KID_MAX + 1])
{
    (void)pthread_rwlock_rdlock(&a->lock);
    enum jwt_reason r =
        jwt_check(token, a->token_key, a->n_token_keys, (int64_t)(real_ns / NS_PER_S), out);
    if (r == JWT_OK) {
        struct digest user = user_digest(out->user_id);
        memcpy(kid, a->token_key[out->key].kid, JWT_KID_MAX + 1);
        if (denylist_has(&a->denied, &out->id, out->iat_s) ||
            denylist_has(&a->denied, &user, out->iat_s))
            r = JWT_REVOKED;
    }
    (void)pthread_rwlock_unlock(&a->lock);
    return r;
}

static enum jwt_reason check_bearer(struct auth *a, struct str token, uint64_t real_ns,
                                    struct principal *who)
{
    struct jwt t;
    struct principal p = { .is_token = true };
    enum jwt_reason r = auth_check_token(a, token, real_ns, &t, p.kid);

    if (r != JWT_OK)
        return r;
    p.caps = t.caps;
    p.credential = t.id;
    p.issued_s = t.iat_s;
    memcpy(p.owner, t.user_id, sizeof p.owner);
    *who = p;
    return JWT_OK;
}

static struct jwt_key *find_token_key(struct auth *a, const char *kid)
{
    for (size_t i = 0; i < a->n_token_keys; i++)
        if (strcmp(a->token_key[i].kid, kid) == 0)
            return &a->token_key[i];
    return NULL;
}

static bool has_key(const struct auth *a, const struct digest *key)
{
    for (size_t i = 0; i < a->n_keys; i++)
        if (memcmp(&a->key[i].digest, key, sizeof *key) == 0)
            return true;
    return false;
}

bool auth_is_revoked(struct auth *a, const struct principal *who)
{
    struct digest user = user_digest(who->owner);

    (void)pthread_rwlock_rdlock(&a->lock);
    bool is = who->is_token ? !find_token_key(a, who->kid) ||
                                  denylist_has(&a->denied, &who->credential, who->issued_s) ||
                                  denylist_has(&a->denied, &user, who->issued_s)
                            : !has_key(a, &who->credential);
    (void)pthread_rwlock_unlock(&a->lock);
    return is;
}

/* How often that header is there; *value is the last one's. */
static unsigned get(const struct http1_head *head, const char *name, struct str *value)
{
    unsigned n = 0;

    for (size_t i = 0; i < head->n_headers; i++)
        if (str_eq_nocase(head->header[i].name, str_from(name))) {
            *value = head->header[i].value;
            n++;
        }
    return n;
}

/* The credential that was sent; empty if there is none. False: it was sent twice, and others might read the other one. */
static bool find_credential(const struct http1_head *head, struct str *out)
{
    static const char *const names[] = { "X-API-Key", "X-E2B-API-Key" };
    struct str value = { 0 }, scheme, rest;
    unsigned n = 0;

    *out = (struct str){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(names) && n == 0; i++)
        n = get(head, names[i], out);
    if (n > 0)
        return n == 1;
    n = get(head, "Authorization", &value);
    if (n == 1 && str_cut(value, ' ', &scheme, &rest) && str_eq_nocase(scheme, STR("Bearer")))
        *out = rest;
    return n <= 1;
}

static const char *why_not(enum jwt_reason r)
{
    switch (r) {
    case JWT_EXPIRED:
        return "the bearer token has expired: have a new one issued";
    case JWT_NOT_YET:
        return "the bearer token is not valid yet: do the clocks agree?";
    case JWT_LIVES_TOO_LONG:
        return "the bearer token would live longer than an hour";
    case JWT_BAD_CLAIMS:
        return "the bearer token lacks a claim, or one is malformed";
    case JWT_WRONG_ISSUER:
    case JWT_WRONG_AUDIENCE:
        return "the bearer token is of another issuer or for another audience";
    case JWT_REVOKED:
        return "the bearer token has been revoked";
    case JWT_OK:
    case JWT_TOO_LONG:
    case JWT_BAD_FORM:
    case JWT_BAD_HEADER:
    case JWT_NO_SUCH_KEY:
    case JWT_BAD_SIGNATURE:
    case JWT_REASONS:
        break;
    }
    return "the bearer token is not valid";
}

static bool judge(struct auth *a, struct str credential, uint64_t real_ns,
                  struct principal *who, const char **why)
{
    size_t dot;

    if (credential.n <= KEY_BYTES_MAX && check_key(a, credential, real_ns, who))
        return true;
    if (!str_find(credential, '.', &dot)) {
        *why = "the API key in header X-API-Key is not valid";
        return false;
    }
    enum jwt_reason r = check_bearer(a, credential, real_ns, who);
    *why = why_not(r);
    return r == JWT_OK;
}

enum auth_verdict auth_check(struct auth *a, const struct http1_head *head, const char *peer,
                             struct auth_time now, struct principal *who, const char **why)
{
    struct str credential;

    if (!find_credential(head, &credential))
        *why = "X-API-Key or Authorization is there more than once";
    else if (credential.n == 0)
        *why = "header X-API-Key is missing: send an API key in it, or a token in "
               "Authorization: Bearer";
    else if (judge(a, credential, now.real_ns, who, why))
        return AUTH_OK;
    (void)pthread_mutex_lock(&a->throttle_lock);
    bool may_fail = throttle_failed(&a->throttle, peer, now.mono_ns);
    (void)pthread_mutex_unlock(&a->throttle_lock);
    if (!may_fail)
        return AUTH_THROTTLED;
    return credential.n == 0 ? AUTH_MISSING : AUTH_WRONG;
}

/* --- API keys --- */

void auth_key_id(const struct digest *key, char out[AUTH_KEY_ID + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < AUTH_KEY_ID; i++)
        out[i] = digits[i % 2 ? key->byte[i / 2] & 15 : key->byte[i / 2] >> 4];
    out[AUTH_KEY_ID] = 0;
}

static struct key_row *find_by_id(struct auth *a, struct str id)
{
    char its[AUTH_KEY_ID + 1];

    for (size_t i = 0; i < a->n_keys; i++) {
        auth_key_id(&a->key[i].digest, its);
        if (str_eq(id, str_from(its)))
            return &a->key[i];
    }
    return NULL;
}

/* A text whose id no other key has. */
static void make_text(struct auth *a, struct key_row *k, char text[AUTH_KEY_TEXT + 1])
{
    char id[AUTH_KEY_ID + 1];

    do {
        char digits[AUTH_KEY_TEXT - 4 + 1];
        rand_hex(digits, (AUTH_KEY_TEXT - 4) / 2);
        (void)snprintf(text, AUTH_KEY_TEXT + 1, "e2b_%s", digits);
        explicit_bzero(digits, sizeof digits);
        k->digest = digest_of(str_from(text));
        auth_key_id(&k->digest, id);
    } while (find_by_id(a, str_from(id)));
}

static void drop_key(struct auth *a, struct key_row *k)
{
    size_t at = (size_t)(k - a->key);

    memmove(k, k + 1, (a->n_keys - at - 1) * sizeof *k);
    memmove(a->prefix + at, a->prefix + at + 1, (a->n_keys - at - 1) * sizeof *a->prefix);
    a->n_keys--;
}

/* Keys that the registry has forgotten to make room were expired: here, too. */
static void drop_expired(struct auth *a, uint64_t real_ns)
{
    for (size_t i = a->n_keys; i > 0; i--)
        if (a->key[i - 1].expires_ns > 0 && a->key[i - 1].expires_ns <= real_ns)
            drop_key(a, &a->key[i - 1]);
}

int auth_issue_key(struct auth *a, struct key_row *k, uint64_t real_ns,
                   char text[AUTH_KEY_TEXT + 1], struct err *e)
{
    (void)pthread_rwlock_wrlock(&a->lock);
    k->created_ns = real_ns;
    k->revoked_ns = 0;
    drop_expired(a, real_ns);
    make_text(a, k, text);
    int rc = grow(a) ? registry_add_key(a->registry, k, real_ns, e)
                     : err_set(e, ENOMEM, "store an API key");
    if (rc == 0)
        add_key(a, k);
    (void)pthread_rwlock_unlock(&a->lock);
    return rc;
}

static int revoke_key(struct auth *a, struct key_row *k, uint64_t real_ns, struct key_row *out,
                      struct err *e)
{
    if (!k)
        return err_say(e, ENOENT, "there is no API key of that id");
    if (strcmp(k->name, KEY_BOOTSTRAP) == 0)
        return err_say(e, EPERM,
                       "this is the key that 'firebreak up' hands over at its start: replace "
                       "api.key in its state directory instead, and restart it");
    *out = *k;
    out->revoked_ns = real_ns;
    int rc = registry_revoke_key(a->registry, &k->digest, real_ns, e);
    drop_key(
        a,
        k); /* also if it could not be stored: then it comes back with a restart, and the answer says so */
    return rc;
}

int auth_revoke_key(struct auth *a, struct str id, uint64_t real_ns, struct key_row *out,
                    struct err *e)
{
    (void)pthread_rwlock_wrlock(&a->lock);
    int rc = revoke_key(a, find_by_id(a, id), real_ns, out, e);
    (void)pthread_rwlock_unlock(&a->lock);
    return rc;
}

/* --- keys of tokens --- */

static int add_token_key(struct auth *a, const struct jwt_key *k, uint64_t real_ns,
                         struct err *e)
{
    if (find_token_key(a, k->kid))
        return err_say(e, EEXIST, "there is a key of tokens with kid '%s' already", k->kid);
    if (a->n_token_keys == TOKEN_KEYS_MAX)
        return err_say(e, ENOSPC, "there are %u keys of tokens already: remove one",
                       TOKEN_KEYS_MAX);
    int rc = registry_put_token_key(a->registry, k, real_ns, e);
    if (rc == 0)
        a->token_key[a->n_token_keys++] = *k;
    return rc;
}

int auth_add_token_key(struct auth *a, struct jwt_key *k, uint64_t real_ns, struct err *e)
{
    if (!k->kid[0])
        rand_hex(k->kid, 8);
    (void)pthread_rwlock_wrlock(&a->lock);
    int rc = add_token_key(a, k, real_ns, e);
    (void)pthread_rwlock_unlock(&a->lock);
    return rc;
}

int auth_remove_token_key(struct auth *a, const char *kid, struct err *e)
{
    int rc;

    (void)pthread_rwlock_wrlock(&a->lock);
    struct jwt_key *k = find_token_key(a, kid);
    if (k) {
        rc = registry_drop_token_key(a->registry, kid, e);
        *k = a->token_key[--a->n_token_keys];
        explicit_bzero(&a->token_key[a->n_token_keys], sizeof *k);
    } else {
        rc = err_say(e, ENOENT, "there is no key of tokens with that kid");
    }
    (void)pthread_rwlock_unlock(&a->lock);
    return rc;
}

/* --- what is revoked --- */

static int deny(struct auth *a, const struct denied *d, int64_t now_s, struct err *e)
{
    (void)pthread_rwlock_wrlock(&a->lock);
    int rc = denylist_add(&a->denied, d, now_s); /* first: it holds even if the disk is full */
    if (rc < 0)
        rc = err_say(e, -rc, "%u tokens are revoked already: remove the key that signed them",
                     DENYLIST_MAX);
    else
        rc = registry_deny(a->registry, d, now_s, e);
    (void)pthread_rwlock_unlock(&a->lock);
    return rc;
}

int auth_deny_token(struct auth *a, const struct digest *id, int64_t until_s, uint64_t real_ns,
                    struct err *e)
{
    const struct denied d = { *id, INT64_MAX, until_s + JWT_LEEWAY_S };
    return deny(a, &d, (int64_t)(real_ns / NS_PER_S), e);
}

int auth_deny_user(struct auth *a, const char *user_id, uint64_t real_ns, struct err *e)
{
    int64_t now_s = (int64_t)(real_ns / NS_PER_S);
    const struct denied d = { user_digest(user_id), now_s + JWT_LEEWAY_S,
                              now_s + JWT_LIFE_S + INT64_C(2) * JWT_LEEWAY_S };
    return deny(a, &d, now_s, e);
}
