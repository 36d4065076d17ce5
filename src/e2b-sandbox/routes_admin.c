/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do with credentials: API keys, keys of tokens, tokens. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/json.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/revocation.h"
#include "e2b-sandbox/routes.h"

#define BODY_MAX       65536u
#define LIST_MAX       (16u << 20) /* bytes of a list: TOKENS_MAX rows at their longest */
#define KEY_LIFE_MAX_S (INT64_C(10) * 366 * 86400)
#define CAPS_MAX       64u

/* --- what the handlers share --- */

static void answer_err(struct request *r, const struct err *e)
{
    switch (e->code) {
    case EINVAL:
        answer_error(r->c, 400, NULL, NULL, "%s", e->text);
        break;
    case ENOENT:
        answer_error(r->c, 404, NULL, NULL, "%s", e->text);
        break;
    case EEXIST:
    case EPERM:
        answer_error(r->c, 409, NULL, NULL, "%s", e->text);
        break;
    case ENOSPC:
        answer_error(r->c, 507, NULL, NULL, "%s", e->text);
        break;
    default:
        log_error("registry_failed", "err=\"%s\"", e->text);
        answer_error(r->c, 500, "internal_server_error", NULL,
                     "it could not be stored: see the server's log");
    }
}

/* A JSON object; or NULL after an answer. Its bytes, which may hold a secret, are wiped. */
static json_t *read_object(struct request *r)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    struct err e = { 0 };
    json_t *j = NULL;

    if (!routes_read_body(r, &body))
        return NULL;
    j = body_parse(buf_str(&body), false, &e);
    if (body.p)
        explicit_bzero(body.p, body.n);
    if (!j)
        answer_err(r, &e);
    return j;
}

static void add_text(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "\"%s\":", name);
    if (*value)
        json_write_str(b, str_from(value));
    else
        buf_add_cstr(b, "null");
    buf_add_char(b, ',');
}

static void add_time(struct buf *b, const char *name, uint64_t real_ns)
{
    char text[CLOCK_TEXT_MAX] = "";

    if (real_ns > 0)
        clock_format_rfc3339(real_ns, 0, text);
    add_text(b, name, text);
}

static void add_caps(struct buf *b, const struct caps *c)
{
    buf_add_cstr(b, "\"capabilities\":");
    caps_write_json(c, b);
}

/* An array that grows row by row. */
struct list {
    struct buf b;
    uint64_t now_ns;
};

static void next_row(struct list *l)
{
    if (l->b.n > 1)
        buf_add_char(&l->b, ',');
    buf_add_char(&l->b, '{');
}

static struct list list_begin(void)
{
    struct list l = { .b = BUF_INIT(LIST_MAX), .now_ns = clock_real_ns() };
    buf_add_char(&l.b, '[');
    return l;
}

static void list_answer(struct request *r, struct list *l, int rc, const struct err *e)
{
    buf_add_char(&l->b, ']');
    if (rc < 0)
        answer_err(r, e);
    else
        answer_json(r->c, 200, NULL, &l->b);
    buf_fini(&l->b);
}

/* Ends what the revoked credential had open, and answers. */
static void answer_revoked(struct request *r, const struct revoked *what)
{
    if (revocation_apply(r->a, what) == 0)
        answer_empty(r->c, 204);
    else
        answer_error(r->c, 500, "internal_server_error", NULL,
                     "it is revoked, but what it had open goes on: out of memory");
}

/* --- API keys --- */

static void add_key(struct buf *b, const struct key_row *k, uint64_t now_ns)
{
    char id[AUTH_KEY_ID + 1];

    auth_key_id(&k->digest, id);
    add_text(b, "id", id);
    add_text(b, "name", k->name);
    add_text(b, "owner", k->owner);
    add_time(b, "createdAt", k->created_ns);
    add_time(b, "expiresAt", k->expires_ns);
    add_time(b, "revokedAt", k->revoked_ns);
    add_text(b, "state",
             k->revoked_ns > 0                              ? "revoked"
             : k->expires_ns > 0 && k->expires_ns <= now_ns ? "expired"
                                                            : "valid");
    add_caps(b, &k->caps);
}

static void list_key(const struct key_row *k, void *arg)
{
    struct list *l = arg;

    next_row(l);
    add_key(&l->b, k, l->now_ns);
    buf_add_char(&l->b, '}');
}

void route_admin_keys(struct request *r)
{
    struct list l = list_begin();
    struct err e = { 0 };

    list_answer(r, &l, registry_each_key(r->a->registry, list_key, &l, &e), &e);
}

/* Absent or null: no scope. Else an array of names, each of which must be known here: who misspells one is told. */
static int read_caps(const json_t *j, struct caps *out, struct err *e)
{
    json_t *list = NULL, *v;
    bool admin = false;
    size_t i;

    if (json_get_array(j, "capabilities", &list, e) < 0 ||
        json_get_bool(j, "admin", &admin, e) < 0)
        return -EINVAL;
    out->all = !list;
    if (json_array_size(list) > CAPS_MAX)
        return err_say(e, EINVAL, "field 'capabilities' may have %u entries", CAPS_MAX);
    json_array_foreach(list, i, v)
    {
        struct str s = { json_string_value(v), json_string_length(v) };
        int rc = json_is_string(v) ? caps_add(out, s) : 0;
        if (rc == 0)
            return err_say(e, EINVAL, "field 'capabilities[%zu]' is no capability", i);
        if (rc < 0)
            return err_say(e, EINVAL, "field 'capabilities' has more than %u languages",
                           CAPS_LANGUAGES_MAX);
    }
    if (admin)
        out->set |= CAP_ADMIN;
    return 0;
}

static int read_name(const json_t *j, const char *field, size_t max, const char *absent,
                     char *out, struct err *e)
{
    const char *text = absent;

    if (json_get_str(j, field, max, &text, e) < 0)
        return -EINVAL;
    if (!text || !auth_name_ok(str_from(text), max))
        return err_say(
            e, EINVAL,
            "field '%s' must have 1 to %zu letters, digits and ._:- and begin with a "
            "letter or digit",
            field, max);
    return str_copy(str_from(text), out, max + 1);
}

static int read_key(const json_t *j, uint64_t now_ns, struct key_row *k, struct err *e)
{
    int64_t life_s = 0;

    if (read_name(j, "name", KEY_NAME_MAX, "unnamed", k->name, e) < 0 ||
        read_name(j, "owner", OWNER_MAX, OWNER_DEFAULT, k->owner, e) < 0 ||
        json_get_i64(j, "expiresIn", 1, KEY_LIFE_MAX_S, &life_s, e) < 0 ||
        read_caps(j, &k->caps, e) < 0)
        return -EINVAL;
    if (strcmp(k->name, KEY_BOOTSTRAP) == 0)
        return err_say(e, EINVAL, "field 'name': the name %s is the server's", KEY_BOOTSTRAP);
    if (life_s > 0)
        k->expires_ns = now_ns + (uint64_t)life_s * NS_PER_S;
    return 0;
}

void route_admin_issue_key(struct request *r)
{
    AUTO_JSON json_t *j = read_object(r);
    AUTO_BUF struct buf b = BUF_INIT(8192);
    char text[AUTH_KEY_TEXT + 1] = "", id[AUTH_KEY_ID + 1];
    uint64_t now_ns = clock_real_ns();
    struct key_row k = { 0 };
    struct err e = { 0 };

    if (!j)
        return;
    if (read_key(j, now_ns, &k, &e) < 0 ||
        auth_issue_key(r->a->auth, &k, now_ns, text, &e) < 0) {
        answer_err(r, &e);
        return;
    }
    buf_add_char(&b, '{');
    add_text(&b, "key", text);
    add_key(&b, &k, now_ns);
    buf_add_char(&b, '}');
    auth_key_id(&k.digest, id);
    log_info("key_issued", "by=%s peer=%s key=%s owner=%s", r->who.owner, http_peer(r->c), id,
             k.owner);
    answer_json(r->c, 201, "Cache-Control: no-store\r\n", &b);
    explicit_bzero(text, sizeof text);
    if (b.p)
        explicit_bzero(b.p, b.n);
}

void route_admin_revoke_key(struct request *r)
{
    struct key_row k;
    struct err e = { 0 };

    if (auth_revoke_key(r->a->auth, str_from(r->param[0]), clock_real_ns(), &k, &e) < 0) {
        answer_err(r, &e);
        return;
    }
    log_info("key_revoked", "by=%s peer=%s key=%s owner=%s", r->who.owner, http_peer(r->c),
             r->param[0], k.owner);
    answer_revoked(r, &(struct revoked){ .credential = k.digest });
}

/* --- keys of tokens --- */

static void list_token_key(const struct jwt_key *k, uint64_t created_ns, void *arg)
{
    struct list *l = arg;

    next_row(l);
    add_text(&l->b, "kid", k->kid);
    add_text(&l->b, "alg", jwt_alg_name(k->alg));
    add_text(&l->b, "iss", k->iss);
    add_text(&l->b, "aud", k->aud);
    add_time(&l->b, "createdAt", created_ns);
    l->b.p[l->b.n - 1] = '}'; /* in place of the last comma */
}

void route_admin_token_keys(struct request *r)
{
    struct list l = list_begin();
    struct err e = { 0 };

    list_answer(r, &l, registry_each_token_key(r->a->registry, list_token_key, &l, &e), &e);
}

/* The body is a JWK. Of an Ed25519 pair only the public half is kept, if both are sent by mistake. */
void route_admin_add_token_key(struct request *r)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    AUTO_BUF struct buf b = BUF_INIT(4096);
    struct jwt_key k = { 0 };
    struct err e = { 0 };

    if (!routes_read_body(r, &body))
        return;
    int rc = jwt_key_read(buf_str(&body), &k, &e);
    if (body.p)
        explicit_bzero(body.p, body.n);
    if (rc == 0 && k.alg == JWT_EDDSA) {
        explicit_bzero(k.secret, sizeof k.secret);
        k.secret_n = 0;
        k.can_sign = false;
    }
    if (rc == 0)
        rc = auth_add_token_key(r->a->auth, &k, clock_real_ns(), &e);
    explicit_bzero(k.secret, sizeof k.secret);
    if (rc < 0) {
        answer_err(r, &e);
        return;
    }
    buf_add_char(&b, '{');
    add_text(&b, "kid", k.kid);
    buf_addf(&b, "\"alg\":\"%s\"}", jwt_alg_name(k.alg));
    log_info("token_key_added", "by=%s peer=%s kid=%s", r->who.owner, http_peer(r->c), k.kid);
    answer_json(r->c, 201, NULL, &b);
}

void route_admin_remove_token_key(struct request *r)
{
    struct err e = { 0 };

    struct revoked what = { 0 };

    if (auth_remove_token_key(r->a->auth, r->param[0], &e) < 0) {
        answer_err(r, &e);
        return;
    }
    log_info("token_key_removed", "by=%s peer=%s kid=%s", r->who.owner, http_peer(r->c),
             r->param[0]);
    (void)str_copy(str_from(r->param[0]), what.kid, sizeof what.kid); /* one that was there */
    answer_revoked(r, &what);
}

/* --- tokens --- */

static void write_hex(const struct digest *d, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++)
        out[i] = digits[i % 2 ? d->byte[i / 2] & 15 : d->byte[i / 2] >> 4];
    out[n] = 0;
}

#define TOKEN_ID 64u

static void add_token(struct buf *b, const struct jwt *t, const char *kid)
{
    char id[TOKEN_ID + 1];

    write_hex(&t->id, TOKEN_ID, id);
    add_text(b, "id", id);
    add_text(b, "jti", t->jti);
    add_text(b, "kid", kid);
    add_text(b, "userID", t->user_id);
    add_time(b, "issuedAt", (uint64_t)t->iat_s * NS_PER_S);
    add_time(b, "expiresAt", (uint64_t)t->exp_s * NS_PER_S);
    add_caps(b, &t->caps);
}

static void list_token(const struct jwt *t, const char *kid, void *arg)
{
    struct list *l = arg;

    if (t->exp_s <= (int64_t)(l->now_ns / NS_PER_S))
        return;
    next_row(l);
    add_token(&l->b, t, kid);
    buf_add_char(&l->b, '}');
}

void route_admin_tokens(struct request *r)
{
    struct list l = list_begin();
    struct err e = { 0 };

    list_answer(r, &l, registry_each_token(r->a->registry, list_token, &l, &e), &e);
}

/* The body's field 'token', judged. False after an answer. */
static bool read_token(struct request *r, enum jwt_reason *why, struct jwt *t,
                       char kid[JWT_KID_MAX + 1])
{
    AUTO_JSON json_t *j = read_object(r);
    const char *text = NULL;
    struct err e = { 0 };

    if (!j)
        return false;
    int rc = json_get_str(j, "token", JWT_MAX, &text, &e);
    if (rc == 0)
        rc = err_say(&e, EINVAL, "field 'token' is missing");
    if (rc < 0) {
        answer_err(r, &e);
        return false;
    }
    *why = auth_check_token(r->a->auth, str_from(text), clock_real_ns(), t, kid);
    return true;
}

/* Somebody has issued it with his own key and tells us of it, so that it is listed. */
void route_admin_register_token(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(8192);
    char kid[JWT_KID_MAX + 1];
    enum jwt_reason why;
    struct err e = { 0 };
    struct jwt t;

    if (!read_token(r, &why, &t, kid))
        return;
    if (why != JWT_OK) {
        answer_error(r->c, 400, NULL, NULL, "the token is refused: %s", jwt_reason_text(why));
        return;
    }
    if (registry_add_token(r->a->registry, &t, kid, (int64_t)(clock_real_ns() / NS_PER_S), &e) <
        0) {
        answer_err(r, &e);
        return;
    }
    buf_add_char(&b, '{');
    add_token(&b, &t, kid);
    buf_add_char(&b, '}');
    log_info("token_registered", "by=%s peer=%s kid=%s user=%s", r->who.owner, http_peer(r->c),
             kid, t.user_id);
    answer_json(r->c, 201, NULL, &b);
}

void route_admin_verify_token(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(8192);
    char kid[JWT_KID_MAX + 1];
    enum jwt_reason why;
    struct jwt t;

    if (!read_token(r, &why, &t, kid))
        return;
    buf_addf(&b, "{\"valid\":%s,\"reason\":\"%s\"", why == JWT_OK ? "true" : "false",
             jwt_reason_text(why));
    if (why == JWT_OK) {
        buf_add_char(&b, ',');
        add_token(&b, &t, kid);
    }
    buf_add_char(&b, '}');
    answer_json(r->c, 200, NULL, &b);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *hex, struct digest *out)
{
    if (strlen(hex) != TOKEN_ID)
        return false;
    for (size_t i = 0; i < sizeof out->byte; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->byte[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Which? Exactly one of the fields id, jti, token, user_id. */
static int revoke_token(struct request *r, const json_t *j, struct revoked *what, struct err *e)
{
    static const char *const field[] = { "id", "jti", "token", "user_id" };
    const char *value[ARRAY_LEN(field)] = { 0 };
    uint64_t now_ns = clock_real_ns();
    int64_t until_s = (int64_t)(now_ns / NS_PER_S) + JWT_LIFE_S + JWT_LEEWAY_S;
    unsigned n = 0;
    char kid[JWT_KID_MAX + 1];
    struct jwt t;

    for (size_t i = 0; i < ARRAY_LEN(field); i++) {
        int rc = json_get_str(j, field[i], JWT_MAX, &value[i], e);
        if (rc < 0)
            return rc;
        n += (unsigned)rc;
    }
    if (n != 1)
        return err_say(e, EINVAL, "one of the fields id, jti, token and user_id must be there");
    if (value[3]) {
        if (!auth_name_ok(str_from(value[3]), OWNER_MAX))
            return err_say(e, EINVAL, "field 'user_id' is no user id");
        (void)str_copy(str_from(value[3]), what->user, sizeof what->user); /* fits */
        return auth_deny_user(r->a->auth, value[3], now_ns, e);
    }
    if (value[2]) {
        enum jwt_reason why = auth_check_token(r->a->auth, str_from(value[2]), now_ns, &t, kid);
        if (why != JWT_OK && why != JWT_REVOKED) /* nobody is let in by it anyway */
            return err_say(e, EINVAL, "the token is refused already: %s", jwt_reason_text(why));
        what->credential = t.id;
    } else if (value[1]) {
        if (!auth_name_ok(str_from(value[1]), JWT_JTI_MAX))
            return err_say(e, EINVAL, "field 'jti' is no token's");
        what->credential = jwt_id_of_jti(str_from(value[1]));
    } else if (!read_digest(value[0], &what->credential)) {
        return err_say(e, EINVAL, "field 'id' must be 64 hexadecimal digits");
    }
    return auth_deny_token(r->a->auth, &what->credential, until_s, now_ns, e);
}

void route_admin_revoke_token(struct request *r)
{
    AUTO_JSON json_t *j = read_object(r);
    struct revoked what = { 0 };
    struct err e = { 0 };

    if (!j)
        return;
    if (revoke_token(r, j, &what, &e) < 0) {
        answer_err(r, &e);
        return;
    }
    log_info("token_revoked", "by=%s peer=%s", r->who.owner, http_peer(r->c));
    answer_revoked(r, &what);
}
