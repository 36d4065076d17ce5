/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "e2b-sandbox/registry_priv.h"
#include "ipc/ipc.h"

#define SCHEMA_VERSION 2

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [INSERT] = "INSERT INTO sandboxes (id, template, started_ns, end_ns, cpu_count, "
               "memory_mb, disk_mb, internet, "
               "metadata, token, state, owner, caps, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?)",
    [SET_RUNNING] = "UPDATE sandboxes SET state = 'running', started_ns = ? WHERE id = ? AND "
                    "state = 'starting' "
                    "RETURNING template, owner",
    [SET_END] = "UPDATE sandboxes SET end_ns = ? WHERE id = ? AND state = 'running'",
    [SET_ENDED] = "UPDATE sandboxes SET state = 'ended', ended_ns = ?, cause = ?, token = NULL "
                  "WHERE id = ? AND state <> 'ended'",
    [SET_TOKEN] = "UPDATE sandboxes SET token = ?, told = ? WHERE id = ? AND state = 'running'",
    [SET_NETWORK] =
        "INSERT INTO networks (id, internet, policy) VALUES (?, ?, ?) ON CONFLICT (id) "
        "DO UPDATE SET internet = excluded.internet, policy = excluded.policy",
    [DROP_NETWORK] = "DELETE FROM networks WHERE id = ?",
    [SET_SECRETS] =
        "INSERT INTO network_secrets (id, rules, traffic_token) VALUES (?, ?, ?) ON CONFLICT "
        "(id) "
        "DO UPDATE SET rules = excluded.rules, traffic_token = excluded.traffic_token",
    [DROP_SECRETS] = "DELETE FROM network_secrets WHERE id = ?",
    [END_UNFINISHED] = "UPDATE sandboxes SET state = 'ended', ended_ns = ?, cause = "
                       "'start_failed', token = NULL "
                       "WHERE state = 'starting'",
    [EACH_RUNNING] =
        "SELECT id, template, started_ns, end_ns, cpu_count, memory_mb, disk_mb, "
        "coalesce(networks.internet, sandboxes.internet), metadata, token, policy, owner, "
        "caps, "
        "rules, traffic_token, told "
        "FROM sandboxes LEFT JOIN networks USING (id) LEFT JOIN network_secrets USING "
        "(id) WHERE state = 'running'",
    [GET_ENDED] =
        "SELECT ended_ns, cause, owner, caps FROM sandboxes WHERE id = ? AND state = 'ended'",
    [PRUNE_OLD] = "DELETE FROM sandboxes WHERE state = 'ended' AND ended_ns < ?",
    [PRUNE_MANY] =
        "DELETE FROM sandboxes WHERE state = 'ended' AND id IN (SELECT id FROM sandboxes "
        "WHERE state = 'ended' ORDER BY ended_ns DESC LIMIT -1 OFFSET ?)",
    [COUNT_USE] =
        "INSERT INTO template_uses (owner, template, count, last_ns) VALUES (?, ?, 1, ?) "
        "ON CONFLICT (owner, template) DO UPDATE SET count = count + 1, last_ns = "
        "excluded.last_ns",
    [GET_USE] = "SELECT count, last_ns FROM template_uses WHERE owner = ? AND template = ?",
    [FORGET_BOOTSTRAP] = "DELETE FROM keys WHERE name = 'bootstrap' AND digest <> ?",
    [ADD_KEY] = "INSERT INTO keys (digest, name, owner, caps, created_ns, expires_ns, "
                "revoked_ns) VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
    [COUNT_KEYS] = "SELECT count(*) FROM keys",
    [FORGET_KEYS] = "DELETE FROM keys WHERE digest IN (SELECT digest FROM keys WHERE "
                    "revoked_ns > 0 OR (expires_ns > 0 AND expires_ns < ?) "
                    "ORDER BY created_ns LIMIT 1)",
    [REVOKE_KEY] = "UPDATE keys SET revoked_ns = ? WHERE digest = ?",
    [EACH_KEY] = "SELECT digest, name, owner, caps, created_ns, expires_ns, revoked_ns "
                 "FROM keys ORDER BY created_ns, digest",
    [PUT_TOKEN_KEY] = "INSERT INTO token_keys (kid, jwk, created_ns) VALUES (?, ?, ?)",
    [DROP_TOKEN_KEY] = "DELETE FROM token_keys WHERE kid = ?",
    [EACH_TOKEN_KEY] = "SELECT jwk, created_ns FROM token_keys ORDER BY created_ns, kid",
    [ADD_TOKEN] = "INSERT INTO tokens (id, jti, kid, owner, caps, iat_s, exp_s) VALUES "
                  "(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    [EACH_TOKEN] = "SELECT id, jti, kid, owner, caps, iat_s, exp_s FROM tokens "
                   "ORDER BY iat_s, id",
    [FORGET_TOKENS] = "DELETE FROM tokens WHERE exp_s < ? OR id IN (SELECT id FROM tokens "
                      "ORDER BY iat_s DESC LIMIT -1 OFFSET ?)",
    [DENY] = "INSERT INTO denied (what, cutoff_s, until_s) VALUES (?, ?, ?) ON CONFLICT (what) "
             "DO UPDATE SET cutoff_s = max(cutoff_s, excluded.cutoff_s), "
             "until_s = max(until_s, excluded.until_s)",
    [EACH_DENIED] = "SELECT what, cutoff_s, until_s FROM denied WHERE until_s >= ?",
    [FORGET_DENIED] = "DELETE FROM denied WHERE until_s < ?",
};

static const char schema[] =
    "CREATE TABLE sandboxes ("
    " id TEXT PRIMARY KEY,"
    " template TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'ended')),"
    " started_ns INTEGER NOT NULL,"
    " end_ns INTEGER NOT NULL,"
    " ended_ns INTEGER,"
    " cause TEXT,"
    " cpu_count INTEGER NOT NULL,"
    " memory_mb INTEGER NOT NULL,"
    " disk_mb INTEGER NOT NULL,"
    " internet INTEGER NOT NULL,"
    " metadata TEXT NOT NULL,"
    " token TEXT"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX sandboxes_by_state ON sandboxes (state, ended_ns);"
    "CREATE TABLE api_keys ("
    " digest BLOB PRIMARY KEY CHECK (length(digest) = 32),"
    " name TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE template_use ("
    " template TEXT PRIMARY KEY,"
    " count INTEGER NOT NULL,"
    " last_ns INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

/* From 1 to 2: every row has an owner, and there is more than one kind of credential. What was there is the operator's. */
static const char owners[] =
    "ALTER TABLE sandboxes ADD COLUMN owner TEXT NOT NULL DEFAULT 'default';"
    "ALTER TABLE sandboxes ADD COLUMN caps TEXT NOT NULL DEFAULT '*';"
    /* Empty: there was one credential, which cannot be revoked. */
    "ALTER TABLE sandboxes ADD COLUMN told BLOB NOT NULL DEFAULT x'';"
    "CREATE TABLE keys ("
    " digest BLOB PRIMARY KEY CHECK (length(digest) = 32),"
    " name TEXT NOT NULL,"
    " owner TEXT NOT NULL,"
    " caps TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " expires_ns INTEGER NOT NULL," /* 0: never */
    " revoked_ns INTEGER NOT NULL"  /* 0: it was not */
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO keys SELECT digest, name, 'default', '* admin', created_ns, 0, 0 FROM "
    "api_keys;"
    "DROP TABLE api_keys;"
    "CREATE TABLE template_uses ("
    " owner TEXT NOT NULL,"
    " template TEXT NOT NULL,"
    " count INTEGER NOT NULL,"
    " last_ns INTEGER NOT NULL,"
    " PRIMARY KEY (owner, template)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO template_uses SELECT 'default', template, count, last_ns FROM template_use;"
    "DROP TABLE template_use;"
    "CREATE TABLE token_keys ("
    " kid TEXT PRIMARY KEY,"
    " jwk TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens ("
    " id BLOB PRIMARY KEY CHECK (length(id) = 32),"
    " jti TEXT NOT NULL,"
    " kid TEXT NOT NULL,"
    " owner TEXT NOT NULL,"
    " caps TEXT NOT NULL,"
    " iat_s INTEGER NOT NULL,"
    " exp_s INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE denied ("
    " what BLOB PRIMARY KEY CHECK (length(what) = 32),"
    " cutoff_s INTEGER NOT NULL,"
    " until_s INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "PRAGMA user_version = 2;";

/* Beside the tables above, so that a database of before has it, too. */
static const char networks[] = "CREATE TABLE IF NOT EXISTS networks ("
                               " id TEXT PRIMARY KEY,"
                               " internet INTEGER NOT NULL,"
                               " policy TEXT NOT NULL"
                               ") STRICT, WITHOUT ROWID;"
                               "DELETE FROM networks WHERE id NOT IN "
                               "(SELECT id FROM sandboxes WHERE state <> 'ended');"
                               "CREATE TABLE IF NOT EXISTS network_secrets ("
                               " id TEXT PRIMARY KEY,"
                               " rules TEXT NOT NULL,"
                               " traffic_token TEXT NOT NULL"
                               ") STRICT, WITHOUT ROWID;"
                               "DELETE FROM network_secrets WHERE id NOT IN "
                               "(SELECT id FROM sandboxes WHERE state <> 'ended');";

/* --- one call --- */

int sql_fail(struct registry *r, const char *what, struct err *e)
{
    int code = sqlite3_errcode(r->db);
    return err_say(e,
                   code == SQLITE_FULL    ? ENOSPC
                   : code == SQLITE_NOMEM ? ENOMEM
                                          : EIO,
                   "%s: %.160s", what, sqlite3_errmsg(r->db));
}

sqlite3_stmt *sql_begin(struct registry *r, enum statement s)
{
    (void)pthread_mutex_lock(&r->lock);
    return r->stmt[s];
}

int sql_run(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e)
{
    int rc = sqlite3_step(st);

    while (rc == SQLITE_ROW)
        rc = sqlite3_step(st);
    int result = rc == SQLITE_DONE ? 0 : sql_fail(r, what, e);
    (void)sqlite3_reset(st); /* repeats the error of step */
    (void)sqlite3_clear_bindings(st);
    return result;
}

int sql_finish(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e)
{
    int result = sql_run(r, st, what, e);
    (void)pthread_mutex_unlock(&r->lock);
    return result;
}

int sql_finish_durably(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e)
{
    int rc = sql_run(r, st, what, e);

    /* A checkpoint syncs the log before it writes anything. */
    if (rc == 0 && sqlite3_wal_checkpoint_v2(r->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                             NULL) != SQLITE_OK)
        rc = sql_fail(r, what, e);
    (void)pthread_mutex_unlock(&r->lock);
    return rc;
}

int sql_begin_all(struct registry *r, const char *what, struct err *e)
{
    return sql_run(r, sql_begin(r, BEGIN), what, e);
}

int sql_end_all(struct registry *r, int rc, const char *what, struct err *e)
{
    struct err ignored;

    if (rc == 0)
        rc = sql_run(r, r->stmt[COMMIT], what, e);
    if (rc < 0 && !sqlite3_get_autocommit(r->db))
        (void)sql_run(r, r->stmt[ROLLBACK], what,
                      &ignored); /* the first error is the one that counts */
    (void)pthread_mutex_unlock(&r->lock);
    return rc;
}

void sql_bind_text(sqlite3_stmt *st, int at, const char *s)
{
    (void)sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}

void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
    (void)sqlite3_bind_int64(st, at, (sqlite3_int64)(v > INT64_MAX ? INT64_MAX : v));
}

uint64_t sql_column_u64(sqlite3_stmt *st, int at)
{
    sqlite3_int64 v = sqlite3_column_int64(st, at);
    return v < 0 ? 0 : (uint64_t)v;
}

static uint32_t sql_column_u32(sqlite3_stmt *st, int at)
{
    uint64_t v = sql_column_u64(st, at);
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

const char *sql_column_text(sqlite3_stmt *st, int at)
{
    const unsigned char *s = sqlite3_column_text(st, at);
    return s ? (const char *)s : "";
}

bool sql_column_digest(sqlite3_stmt *st, int at, struct digest *out)
{
    if (sqlite3_column_bytes(st, at) != (int)sizeof out->byte)
        return false;
    memcpy(out->byte, sqlite3_column_blob(st, at), sizeof out->byte);
    return true;
}

bool sql_column_caps(sqlite3_stmt *st, int at, struct caps *out)
{
    return caps_read_text(str_from(sql_column_text(st, at)), out) == 0;
}

/* --- opening --- */

static int configure(struct registry *r, struct err *e)
{
    static const struct {
        int option, value;
    } config[] = {
        { SQLITE_DBCONFIG_DQS_DDL, 0 },        { SQLITE_DBCONFIG_DQS_DML, 0 },
        { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 }, { SQLITE_DBCONFIG_DEFENSIVE, 1 },
        { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
    };
    int now;

    for (size_t i = 0; i < ARRAY_LEN(config); i++)
        if (sqlite3_db_config(r->db, config[i].option, config[i].value, &now) != SQLITE_OK ||
            now != config[i].value)
            return err_say(e, EIO, "SQLite refuses a protective setting");
    (void)sqlite3_busy_timeout(r->db, 2000); /* only an operator's own sqlite3 could compete */
    if (sqlite3_exec(
            r->db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
            "PRAGMA journal_size_limit = 4194304; PRAGMA cell_size_check = ON; PRAGMA "
            "cache_size = -2000;",
            NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(r, "set up the database", e);
    return 0;
}

static int read_version(struct registry *r, int *version, struct err *e)
{
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(r->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        (void)sqlite3_finalize(st);
        return sql_fail(r, "read the database's version", e);
    }
    *version = sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    return 0;
}

static int migrate(struct registry *r, struct err *e)
{
    int version = 0;

    if (read_version(r, &version, e) < 0)
        return -e->code;
    if (version > SCHEMA_VERSION)
        return err_say(e, EINVAL,
                       "the database is of a newer version (%d): start a newer e2b-sandbox",
                       version);
    if (version == SCHEMA_VERSION)
        return 0;
    if (sqlite3_exec(r->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        (version == 0 && sqlite3_exec(r->db, schema, NULL, NULL, NULL) != SQLITE_OK) ||
        sqlite3_exec(r->db, owners, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(r, "make the tables", e);
    return 0;
}

static int add_networks(struct registry *r, struct err *e)
{
    return sqlite3_exec(r->db, networks, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : sql_fail(r, "make the table of networks", e);
}

static int prepare_all(struct registry *r, struct err *e)
{
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(r->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &r->stmt[i],
                               NULL) != SQLITE_OK)
            return sql_fail(r, "prepare a statement", e);
    return 0;
}

/* For our eyes only, whatever the umask was when it was made; SQLite gives its other files the same mode. */
static int make_private(const char *path, struct err *e)
{
    static const char *const end[] = { "", "-wal", "-shm" };

    for (size_t i = 0; i < ARRAY_LEN(end); i++) {
        char name[600];
        (void)snprintf(name, sizeof name, "%s%s", path, end[i]);
        AUTO_CLOSE int fd =
            open(name, O_RDWR | (i == 0 ? O_CREAT : 0) | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && i > 0 && errno == ENOENT)
            continue;
        if (fd < 0 || fchmod(fd, 0600) < 0)
            return err_set(e, errno, "open '%s'", name);
    }
    return 0;
}

int registry_open(struct registry **out, const char *path, struct err *e)
{
    struct registry *r = calloc(1, sizeof *r);
    /* One connection with our own lock around it. No URI: the path is a path. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_PRIVATECACHE;

    if (!r)
        return err_set(e, ENOMEM, "open '%s'", path);
    if (make_private(path, e) < 0) {
        free(r);
        return -e->code;
    }
    (void)pthread_mutex_init(&r->lock, NULL);
    if (sqlite3_open_v2(path, &r->db, flags, NULL) != SQLITE_OK) {
        (void)err_say(e, sqlite3_system_errno(r->db) ? sqlite3_system_errno(r->db) : EIO,
                      "open '%s': %.120s", path, sqlite3_errmsg(r->db));
        registry_close(r);
        return -e->code;
    }
    if (configure(r, e) < 0 || migrate(r, e) < 0 || add_networks(r, e) < 0 ||
        prepare_all(r, e) < 0) {
        registry_close(r);
        return err_wrap(e, "'%s'", path);
    }
    *out = r;
    return 0;
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        (void)sqlite3_finalize(r->stmt[i]);
    (void)sqlite3_close(r->db);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* --- sandboxes --- */

static void bind_told(sqlite3_stmt *st, int at, const struct told *told, uint32_t n)
{
    (void)sqlite3_bind_blob(st, at, n > 0 ? (const void *)told : "", (int)(n * sizeof *told),
                            SQLITE_TRANSIENT);
}

static void read_told(sqlite3_stmt *st, int at, struct sandbox_facts *f)
{
    size_t bytes = (size_t)sqlite3_column_bytes(st, at);

    if (bytes > sizeof f->told)
        bytes = sizeof f->told;
    f->n_told = (uint32_t)(bytes / sizeof f->told[0]);
    if (f->n_told > 0)
        memcpy(f->told, sqlite3_column_blob(st, at), f->n_told * sizeof f->told[0]);
}

static void bind_facts(sqlite3_stmt *st, const struct sandbox_facts *f, const char *metadata,
                       uint64_t started_ns, uint64_t end_ns, const char *state)
{
    AUTO_BUF struct buf caps = BUF_INIT(CAPS_TEXT_MAX);

    caps_write_text(&f->caps, &caps);
    sql_bind_text(st, 1, f->id.text);
    sql_bind_text(st, 2, f->template);
    sql_bind_u64(st, 3, started_ns);
    sql_bind_u64(st, 4, end_ns);
    sql_bind_u64(st, 5, f->cpu_count);
    sql_bind_u64(st, 6, f->memory_mb);
    sql_bind_u64(st, 7, f->disk_mb);
    sql_bind_u64(st, 8, INTERNET_UNSET); /* of before there was a table of networks */
    sql_bind_text(st, 9, metadata);
    if (f->token[0])
        sql_bind_text(st, 10, f->token);
    sql_bind_text(st, 11, state);
    sql_bind_text(st, 12, f->owner);
    if (buf_ok(&caps))
        (void)sqlite3_bind_text(st, 13, buf_cstr(&caps), -1, SQLITE_TRANSIENT);
    bind_told(st, 14, f->told, f->n_told);
}

int registry_insert(struct registry *r, const struct sandbox_facts *f, const char *metadata,
                    uint64_t now_ns, uint64_t end_ns, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, INSERT);

    bind_facts(st, f, metadata, now_ns, end_ns, "starting");
    return sql_finish(r, st, "store a sandbox", e);
}

static int count_use(struct registry *r, const char *owner, const char *template,
                     uint64_t now_ns, struct err *e)
{
    sql_bind_text(r->stmt[COUNT_USE], 1, owner);
    sql_bind_text(r->stmt[COUNT_USE], 2, template);
    sql_bind_u64(r->stmt[COUNT_USE], 3, now_ns);
    return sql_run(r, r->stmt[COUNT_USE], "count a template's use", e);
}

int registry_insert_running(struct registry *r, const struct sandbox_facts *f,
                            const char *metadata, uint64_t started_ns, uint64_t end_ns,
                            struct err *e)
{
    static const char what[] = "store a sandbox";
    int rc = sql_begin_all(r, what, e);

    if (rc == 0) {
        bind_facts(r->stmt[INSERT], f, metadata, started_ns, end_ns, "running");
        rc = sql_run(r, r->stmt[INSERT], what, e);
    }
    if (rc == 0)
        rc = count_use(r, f->owner, f->template, started_ns, e);
    return sql_end_all(r, rc, what, e);
}

int registry_set_running(struct registry *r, const struct sandbox_id *id, uint64_t started_ns,
                         struct err *e)
{
    static const char what[] = "store that a sandbox runs";
    char template[TEMPLATE_NAME_MAX + 1] = "", owner[OWNER_MAX + 1] = "";
    int rc = sql_begin_all(r, what, e);

    if (rc == 0) {
        sqlite3_stmt *st = r->stmt[SET_RUNNING];
        sql_bind_u64(st, 1, started_ns);
        sql_bind_text(st, 2, id->text);
        if (sqlite3_step(st) == SQLITE_ROW) { /* we wrote them: they fit */
            (void)str_copy(str_from(sql_column_text(st, 0)), template, sizeof template);
            (void)str_copy(str_from(sql_column_text(st, 1)), owner, sizeof owner);
        }
        rc = sql_run(r, st, what, e);
    }
    if (rc == 0 && !template[0])
        rc = err_say(e, ENOENT, "the sandbox ended while it was starting");
    if (rc == 0)
        rc = count_use(r, owner, template, started_ns, e);
    return sql_end_all(r, rc, what, e);
}

int registry_set_end(struct registry *r, const struct sandbox_id *id, uint64_t end_ns,
                     struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, SET_END);

    sql_bind_u64(st, 1, end_ns);
    sql_bind_text(st, 2, id->text);
    return sql_finish(r, st, "store the end of a sandbox", e);
}

/* The pages are overwritten (secure_delete), and the log that still has them is emptied. */
static int forget_secrets(struct registry *r, const struct sandbox_id *id, struct err *e)
{
    static const char what[] = "forget a sandbox's secrets";
    sqlite3_stmt *st = sql_begin(r, DROP_SECRETS);

    sql_bind_text(st, 1, id->text);
    int rc = sql_run(r, st, what, e);
    if (rc == 0 && sqlite3_changes(r->db) > 0 &&
        sqlite3_wal_checkpoint_v2(r->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
            SQLITE_OK)
        rc = sql_fail(r, what, e);
    (void)pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_set_ended(struct registry *r, const struct sandbox_id *id, const char *cause,
                       uint64_t now_ns, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, SET_ENDED);

    sql_bind_u64(st, 1, now_ns);
    sql_bind_text(st, 2, cause);
    sql_bind_text(st, 3, id->text);
    if (sql_finish(r, st, "store that a sandbox has ended", e) < 0)
        return -e->code;
    st = sql_begin(r, DROP_NETWORK);
    sql_bind_text(st, 1, id->text);
    if (sql_finish(r, st, "forget a sandbox's network", e) < 0)
        return -e->code;
    return forget_secrets(r, id, e);
}

int registry_set_token(struct registry *r, const struct sandbox_id *id, const char *token,
                       const struct told *told, uint32_t n_told, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, SET_TOKEN);

    if (token[0])
        sql_bind_text(st, 1, token);
    bind_told(st, 2, told, n_told);
    sql_bind_text(st, 3, id->text);
    return sql_finish(r, st, "store a sandbox's token", e);
}

int registry_set_network(struct registry *r, const struct sandbox_id *id,
                         const struct network_wish *w, struct err *e)
{
    static const char what[] = "store a sandbox's network";
    bool has_secrets = w->secrets || w->traffic_token[0];
    int rc = sql_begin_all(r, what, e);

    if (rc == 0) {
        sqlite3_stmt *st = r->stmt[SET_NETWORK];
        sql_bind_text(st, 1, id->text);
        sql_bind_u64(st, 2, (uint64_t)w->internet);
        sql_bind_text(st, 3, w->text ? w->text : "");
        rc = sql_run(r, st, what, e);
    }
    if (rc == 0 && has_secrets) {
        sqlite3_stmt *st = r->stmt[SET_SECRETS];
        sql_bind_text(st, 1, id->text);
        sql_bind_text(st, 2, w->secrets ? w->secrets : "");
        sql_bind_text(st, 3, w->traffic_token);
        rc = sql_run(r, st, what, e);
    }
    rc = sql_end_all(r, rc, what, e);
    return rc < 0 || has_secrets ? rc : forget_secrets(r, id, e);
}

int registry_end_unfinished(struct registry *r, uint64_t now_ns, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, END_UNFINISHED);

    sql_bind_u64(st, 1, now_ns);
    int rc = sql_finish(r, st, "end unfinished sandboxes", e);
    return rc < 0 ? rc : sqlite3_changes(r->db);
}

/* A row that this program did not write is skipped; false then. */
static bool read_row(sqlite3_stmt *st, struct registry_row *row)
{
    struct sandbox_facts *f = &row->facts;
    uint64_t internet = sql_column_u64(st, 7);

    *row = (struct registry_row){ .started_ns = sql_column_u64(st, 2),
                                  .end_ns = sql_column_u64(st, 3),
                                  .metadata = sql_column_text(st, 8) };
    f->cpu_count = sql_column_u32(st, 4);
    f->memory_mb = sql_column_u32(st, 5);
    f->disk_mb = sql_column_u32(st, 6);
    row->internet =
        internet <= INTERNET_DENIED ? (enum internet_wish)internet : INTERNET_DENIED;
    row->network = sql_column_text(st, 10);
    row->rules = sql_column_text(st, 13);
    row->traffic_token = sql_column_text(st, 14);
    read_told(st, 15, f);
    return str_copy(str_from(sql_column_text(st, 0)), f->id.text, sizeof f->id.text) == 0 &&
           sandbox_id_ok(&f->id) &&
           str_copy(str_from(sql_column_text(st, 1)), f->template, sizeof f->template) == 0 &&
           str_copy(str_from(sql_column_text(st, 9)), f->token, sizeof f->token) == 0 &&
           str_copy(str_from(sql_column_text(st, 11)), f->owner, sizeof f->owner) == 0 &&
           sql_column_caps(st, 12, &f->caps);
}

int registry_each_running(struct registry *r,
                          void (*fn)(const struct registry_row *row, void *arg), void *arg,
                          struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, EACH_RUNNING);
    struct registry_row row;
    int rc;

    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if (read_row(st, &row))
            fn(&row, arg);
    int result = rc == SQLITE_DONE ? 0 : sql_fail(r, "read the sandboxes", e);
    (void)sqlite3_reset(st); /* repeats the error of step */
    (void)pthread_mutex_unlock(&r->lock);
    return result;
}

int registry_ended(struct registry *r, struct str id, struct registry_end *out, struct err *e)
{
    struct registry_end end = { 0 };
    sqlite3_stmt *st = sql_begin(r, GET_ENDED);

    (void)sqlite3_bind_text(st, 1, id.p, (int)id.n, SQLITE_STATIC);
    if (sqlite3_step(st) == SQLITE_ROW) {
        end.at_ns = sql_column_u64(st, 0);
        /* A longer one is not ours. */
        (void)str_copy(str_from(sql_column_text(st, 1)), end.cause, sizeof end.cause);
        (void)str_copy(str_from(sql_column_text(st, 2)), end.owner, sizeof end.owner);
        if (!sql_column_caps(st, 3, &end.caps))
            end.caps.all = true;
    }
    if (sql_finish(r, st, "look for an ended sandbox", e) < 0)
        return -e->code;
    if (end.at_ns == 0)
        return err_say(e, ENOENT, "no such sandbox has ended lately");
    *out = end;
    return 0;
}

int registry_prune(struct registry *r, uint64_t now_ns, struct err *e)
{
    sqlite3_stmt *st = sql_begin(r, PRUNE_OLD);

    sql_bind_u64(st, 1, now_ns > REGISTRY_ENDED_NS ? now_ns - REGISTRY_ENDED_NS : 0);
    if (sql_finish(r, st, "forget ended sandboxes", e) < 0)
        return -e->code;
    st = sql_begin(r, PRUNE_MANY);
    sql_bind_u64(st, 1, REGISTRY_ENDED_MAX);
    return sql_finish(r, st, "forget ended sandboxes", e);
}

int registry_template_use(struct registry *r, const char *owner, const char *template,
                          struct template_use *out, struct err *e)
{
    struct template_use use = { 0 };
    sqlite3_stmt *st = sql_begin(r, GET_USE);

    sql_bind_text(st, 1, owner);
    sql_bind_text(st, 2, template);
    if (sqlite3_step(st) == SQLITE_ROW)
        use = (struct template_use){ sql_column_u64(st, 0), sql_column_u64(st, 1) };
    if (sql_finish(r, st, "read a template's use", e) < 0)
        return -e->code;
    *out = use;
    return 0;
}
