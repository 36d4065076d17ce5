/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "e2b-sandbox/registry_priv.h"

static void bind_digest(sqlite3_stmt *st, int at, const struct digest *d)
{
    (void)sqlite3_bind_blob(st, at, d->byte, sizeof d->byte, SQLITE_STATIC);
}

static void bind_caps(sqlite3_stmt *st, int at, const struct caps *c)
{
    AUTO_BUF struct buf text = BUF_INIT(CAPS_TEXT_MAX);

    caps_write_text(c, &text);
    if (buf_ok(&text)) /* else it stays NULL, which the column refuses */
        (void)sqlite3_bind_text(st, at, buf_cstr(&text), -1, SQLITE_TRANSIENT);
}

/* Seconds since 1970, and "for ever" as the largest number. */
static void bind_s(sqlite3_stmt *st, int at, int64_t s)
{
    (void)sqlite3_bind_int64(st, at, s);
}

/* Calls `row` for each row of st, whose lock the caller holds, and lets go of that. */
static int each(struct registry *r, sqlite3_stmt *st, const char *what,
                void (*row)(sqlite3_stmt *st, void *arg), void *arg, struct err *e)
{
    int rc;

    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        row(st, arg);
    int result = rc == SQLITE_DONE ? 0 : sql_fail(r, what, e);
    (void)sqlite3_reset(st); /* repeats the error of step */
    (void)pthread_mutex_unlock(&r->lock);
    return result;
}

static bool copy_column(sqlite3_stmt *st, int at, char *out, size_t cap)
{
    return str_copy(str_from(sql_column_text(st, at)), out, cap) == 0;
}

/* --- API keys --- */

static void bind_key(sqlite3_stmt *st, const struct key_row *k)
{
    bind_digest(st, 1, &k->digest);
    sql_bind_text(st, 2, k->name);
    sql_bind_text(st, 3, k->owner);
    bind_caps(st, 4, &k->caps);
    sql_bind_u64(st, 5, k->created_ns);
    sql_bind_u64(st, 6, k->expires_ns);
}

int registry_set_bootstrap_key(struct registry *r, const struct digest *key, uint64_t now_ns,
                               struct err *e)
{
    const struct key_row k = { .digest = *key,
                               .name = KEY_BOOTSTRAP,
                               .owner = OWNER_DEFAULT,
                               .caps = { .all = true, .set = CAP_ADMIN },
                               .created_ns = now_ns };
    sqlite3_stmt *st = sql_begin(r, FORGET_BOOTSTRAP);

    bind_digest(st, 1, key);
    if (sql_finish(r, st, "forget the old API key", e) < 0)
        return -e->code;
    st = sql_begin(r, ADD_KEY);
    bind_key(st, &k);
    return sql_finish_durably(r, st, "store the API key", e);
}

static int64_t count_keys(struct registry *r)
{
    sqlite3_stmt *st = sql_begin(r, COUNT_KEYS);
    int64_t n =
        sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : REGISTRY_KEYS_MAX;

    (void)sqlite3_reset(st);
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}

int registry_add_key(struct registry *r, const struct key_row *k, uint64_t now_ns,
                     struct err *e)
{
    sqlite3_stmt *st;

    if (count_keys(r) >= REGISTRY_KEYS_MAX) {
        st = sql_begin(r, FORGET_KEYS);
        sql_bind_u64(st, 1, now_ns);
        if (sql_finish(r, st, "forget an API key", e) < 0)
            return -e->code;
        if (count_keys(r) >= REGISTRY_KEYS_MAX)
            return err_say(e, ENOSPC, "there are %u API keys already: revoke one",
                           REGISTRY_KEYS_MAX);
    }
    st = sql_begin(r, ADD_KEY);
    bind_key(st, k);
    return sql_finish_durably(r, st, "store an API key", e);
}

int registry_revoke_key(struct registry *r, const struct digest *key, uint64_t now_ns,
                        struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, REVOKE_KEY);

    sql_bind_u64(st, 1, now_ns);
    bind_digest(st, 2, key);
    return sql_finish_durably(r, st, "revoke an API key", e);
}

struct key_reader {
    void (*fn)(const struct key_row *k, void *arg);
    void *arg;
};

static void read_key(sqlite3_stmt *st, void *arg)
{
    const struct key_reader *to = arg;
    struct key_row k = { .created_ns = sql_column_u64(st, 4),
                         .expires_ns = sql_column_u64(st, 5),
                         .revoked_ns = sql_column_u64(st, 6) };

    if (sql_column_digest(st, 0, &k.digest) && copy_column(st, 1, k.name, sizeof k.name) &&
        copy_column(st, 2, k.owner, sizeof k.owner) && sql_column_caps(st, 3, &k.caps))
        to->fn(&k, to->arg);
}

int registry_each_key(struct registry *r, void (*fn)(const struct key_row *k, void *arg),
                      void *arg, struct err *e)
{
    struct key_reader to = { fn, arg };
    return each(r, sql_begin(r, EACH_KEY), "read the API keys", read_key, &to, e);
}

/* --- keys of tokens --- */

int registry_put_token_key(struct registry *r, const struct jwt_key *k, uint64_t now_ns,
                           struct err *e)
{
    AUTO_BUF struct buf jwk = BUF_INIT(4096);
    sqlite3_stmt *st;

    jwt_key_write(k, false, &jwk);
    if (!buf_ok(&jwk))
        return err_set(e, ENOMEM, "store a key of tokens");
    st = sql_begin(r, PUT_TOKEN_KEY);
    sql_bind_text(st, 1, k->kid);
    sql_bind_text(st, 2, buf_cstr(&jwk));
    sql_bind_u64(st, 3, now_ns);
    int rc = sql_finish_durably(r, st, "store a key of tokens", e);
    explicit_bzero(jwk.p, jwk.n);
    return rc;
}

int registry_drop_token_key(struct registry *r, const char *kid, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, DROP_TOKEN_KEY);

    sql_bind_text(st, 1, kid);
    return sql_finish_durably(r, st, "forget a key of tokens", e);
}

struct token_key_reader {
    void (*fn)(const struct jwt_key *k, uint64_t created_ns, void *arg);
    void *arg;
};

static void read_token_key(sqlite3_stmt *st, void *arg)
{
    const struct token_key_reader *to = arg;
    struct jwt_key k;
    struct err ignored;

    if (jwt_key_read(str_from(sql_column_text(st, 0)), &k, &ignored) == 0)
        to->fn(&k, sql_column_u64(st, 1), to->arg);
    explicit_bzero(&k, sizeof k);
}

int registry_each_token_key(struct registry *r,
                            void (*fn)(const struct jwt_key *k, uint64_t created_ns, void *arg),
                            void *arg, struct err *e)
{
    struct token_key_reader to = { fn, arg };
    return each(r, sql_begin(r, EACH_TOKEN_KEY), "read the keys of tokens", read_token_key, &to,
                e);
}

/* --- tokens --- */

int registry_add_token(struct registry *r, const struct jwt *t, const char *kid, int64_t now_s,
                       struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, FORGET_TOKENS);

    bind_s(st, 1, now_s - JWT_LEEWAY_S);
    bind_s(st, 2, TOKENS_MAX - 1);
    if (sql_finish(r, st, "forget tokens", e) < 0)
        return -e->code;
    st = sql_begin(r, ADD_TOKEN);
    bind_digest(st, 1, &t->id);
    sql_bind_text(st, 2, t->jti);
    sql_bind_text(st, 3, kid);
    sql_bind_text(st, 4, t->user_id);
    bind_caps(st, 5, &t->caps);
    bind_s(st, 6, t->iat_s);
    bind_s(st, 7, t->exp_s);
    return sql_finish_durably(r, st, "store a token", e);
}

struct token_reader {
    void (*fn)(const struct jwt *t, const char *kid, void *arg);
    void *arg;
};

static void read_token(sqlite3_stmt *st, void *arg)
{
    const struct token_reader *to = arg;
    struct jwt t = { .iat_s = sqlite3_column_int64(st, 5),
                     .exp_s = sqlite3_column_int64(st, 6) };

    if (sql_column_digest(st, 0, &t.id) && copy_column(st, 1, t.jti, sizeof t.jti) &&
        copy_column(st, 3, t.user_id, sizeof t.user_id) && sql_column_caps(st, 4, &t.caps))
        to->fn(&t, sql_column_text(st, 2), to->arg);
}

int registry_each_token(struct registry *r,
                        void (*fn)(const struct jwt *t, const char *kid, void *arg), void *arg,
                        struct err *e)
{
    struct token_reader to = { fn, arg };
    return each(r, sql_begin(r, EACH_TOKEN), "read the tokens", read_token, &to, e);
}

/* --- what was revoked --- */

int registry_deny(struct registry *r, const struct denied *d, int64_t now_s, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, FORGET_DENIED);

    bind_s(st, 1, now_s);
    if (sql_finish(r, st, "forget what has expired", e) < 0)
        return -e->code;
    st = sql_begin(r, DENY);
    bind_digest(st, 1, &d->what);
    bind_s(st, 2, d->cutoff_s);
    bind_s(st, 3, d->until_s);
    return sql_finish_durably(r, st, "store what is revoked", e);
}

struct denied_reader {
    void (*fn)(const struct denied *d, void *arg);
    void *arg;
};

static void read_denied(sqlite3_stmt *st, void *arg)
{
    const struct denied_reader *to = arg;
    struct denied d = { .cutoff_s = sqlite3_column_int64(st, 1),
                        .until_s = sqlite3_column_int64(st, 2) };

    if (sql_column_digest(st, 0, &d.what))
        to->fn(&d, to->arg);
}

int registry_each_denied(struct registry *r, int64_t now_s,
                         void (*fn)(const struct denied *d, void *arg), void *arg,
                         struct err *e)
{
    struct denied_reader to = { fn, arg };
    sqlite3_stmt *st = sql_begin(r, EACH_DENIED);

    bind_s(st, 1, now_s);
    return each(r, st, "read what is revoked", read_denied, &to, e);
}
