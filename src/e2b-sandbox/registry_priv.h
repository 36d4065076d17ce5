/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/registry_priv: what the files of the registry share. One connection, one lock, statements prepared once. */
#pragma once
#include <pthread.h>
#include <sqlite3.h>

#include "e2b-sandbox/registry.h"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    INSERT,
    SET_RUNNING,
    SET_END,
    SET_ENDED,
    SET_TOKEN,
    SET_NETWORK,
    DROP_NETWORK,
    SET_SECRETS,
    DROP_SECRETS,
    END_UNFINISHED,
    EACH_RUNNING,
    GET_ENDED,
    PRUNE_OLD,
    PRUNE_MANY,
    COUNT_USE,
    GET_USE,
    FORGET_BOOTSTRAP,
    ADD_KEY,
    COUNT_KEYS,
    FORGET_KEYS,
    REVOKE_KEY,
    EACH_KEY,
    PUT_TOKEN_KEY,
    DROP_TOKEN_KEY,
    EACH_TOKEN_KEY,
    ADD_TOKEN,
    EACH_TOKEN,
    FORGET_TOKENS,
    DENY,
    EACH_DENIED,
    FORGET_DENIED,
    STATEMENTS
};

struct registry {
    pthread_mutex_t lock; /* around everything below */
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENTS];
};

/* Says in *e what SQLite says. Returns -errno. */
int sql_fail(struct registry *r, const char *what, struct err *e);
/* Takes the lock. */
sqlite3_stmt *sql_begin(struct registry *r, enum statement s);
/* Runs a statement that gives no row (or whose rows do not matter) and resets it. The lock stays. */
int sql_run(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e);
/* The same, and lets go of the lock. */
int sql_finish(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e);
/* The same for what must not come back with the power either: it is on the disk when this returns 0. */
int sql_finish_durably(struct registry *r, sqlite3_stmt *st, const char *what, struct err *e);
/* Several statements that hold together or not at all: sql_begin_all, sql_run each, sql_end_all with what they returned. */
int sql_begin_all(struct registry *r, const char *what, struct err *e);
int sql_end_all(struct registry *r, int rc, const char *what, struct err *e);

/* Binding fails only for want of memory, and then the step or a NOT NULL fails too. Values outlive the step. */
void sql_bind_text(sqlite3_stmt *st, int at, const char *s);
void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t v);
uint64_t sql_column_u64(sqlite3_stmt *st, int at);
const char *sql_column_text(sqlite3_stmt *st, int at); /* "" for NULL */
bool sql_column_digest(sqlite3_stmt *st, int at, struct digest *out);
bool sql_column_caps(sqlite3_stmt *st, int at, struct caps *out);
