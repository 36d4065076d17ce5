/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts: signatures of file URLs, /proc/PID/status, keys and their limits, the registry, the fleet, metrics. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/auto.h"
#include "base/clock.h"
#include "e2b-sandbox/auth.h"
#include "e2b-sandbox/fleet.h"
#include "e2b-sandbox/isolation.h"
#include "e2b-sandbox/metrics.h"
#include "e2b-sandbox/registry.h"
#include "e2b-sandbox/signature.h"

static char dir[] = "/tmp/test-parts-XXXXXX";
static char db_path[64];
static struct registry *registry;

static int open_registry(void **state)
{
    struct err e;
    (void)state;
    return registry_open(&registry, db_path, &e);
}

static int delete_registry(void **state)
{
    static const char *const tail[] = { "", "-wal", "-shm" };
    char path[80];

    (void)state;
    registry_close(registry);
    registry = NULL;
    for (size_t i = 0; i < ARRAY_LEN(tail); i++) {
        (void)snprintf(path, sizeof path, "%s%s", db_path, tail[i]);
        (void)unlink(path);
    }
    return 0;
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(db_path, sizeof db_path, "%s/x.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

/* --- signature --- */

static void the_known_signature_is_recognised(void **state)
{
    AUTO_FILE_SIGNATURE struct file_signature sig = { 0 };

    (void)state;
    assert_true(signature_read(STR("GET"), STR("/files"),
                               STR("path=hello.txt&username=user&signature=v1_gUtH%"
                                   "2Fs9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E"),
                               &sig));
    assert_true(signature_is_by(&sig, STR("0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0")));
    assert_false(signature_is_by(&sig, STR("0tQG31xiMp0IOQfaz9dcwi72L1CPo8e1")));
    assert_false(signature_is_by(&sig, STR("")));
}

static void other_requests_have_no_signature(void **state)
{
    static const struct {
        const char *method, *path, *query;
    } row[] = {
        { "PUT", "/files", "path=a&signature=v1_x" },
        { "GET", "/files/", "path=a&signature=v1_x" },
        { "GET", "/files", "path=a" },
        { "GET", "/files", "" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        AUTO_FILE_SIGNATURE struct file_signature sig = { 0 };
        assert_false(signature_read(str_from(row[i].method), str_from(row[i].path),
                                    str_from(row[i].query), &sig));
    }
}

/* --- /proc/PID/status --- */

static void the_kernel_s_words_about_a_process_are_read(void **state)
{
    static const char status[] =
        "Name:\tenvd\nUid:\t268500992\t1\t2\t3\nNSpid:\t4321\t17\t1\nCapInh:"
        "\t0000000000000000\n"
        "CapEff:\t00000000000004eb\nCapBnd:\t00000000000004eb\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    struct isolation i;

    (void)state;
    assert_true(isolation_parse(STR(status), &i));
    assert_int_equal(i.uid, 268500992);
    assert_int_equal(i.seccomp, 2);
    assert_true(i.no_new_privs);
    assert_int_equal(i.cap_effective, 0x4eb);
    assert_int_equal(i.cap_bounding, 0x4eb);
    assert_int_equal(i.pid_namespaces, 2);
    assert_false(isolation_parse(STR("Name:\tenvd\nUid:\t1\n"), &i));
    assert_false(isolation_parse(STR(""), &i));
}

static void a_process_outside_of_the_sandbox_s_uids_is_not_taken_for_it(void **state)
{
    struct isolation i;

    (void)state;
    assert_false(isolation_read((uint32_t)getpid(), 0, &i));
    assert_false(isolation_read((uint32_t)getpid(), geteuid() + 1, &i));
    assert_false(isolation_read(0, 1, &i));
}

/* --- keys --- */

#define REAL (UINT64_C(1767009600) * NS_PER_S) /* the time of day in these tests */

static enum auth_verdict check(struct auth *a, const char *name, const char *key,
                               const char *peer, uint64_t now_ns)
{
    struct http1_head head = { 0 };

    struct principal who;
    const char *why;

    if (name)
        head.header[head.n_headers++] = (struct http1_header){ str_from(name), str_from(key) };
    return auth_check(a, &head, peer, (struct auth_time){ now_ns, REAL }, &who, &why);
}

static struct auth *auth_with(const char *key)
{
    const struct digest d = digest_of(str_from(key));
    struct auth *a = NULL;
    struct err e;

    assert_int_equal(registry_set_bootstrap_key(registry, &d, 1, &e), 0);
    assert_int_equal(auth_new(&a, registry, REAL, &e), 0);
    return a;
}

static void a_stored_key_opens_under_both_header_names(void **state)
{
    struct auth *a = auth_with("e2b_secret");

    (void)state;
    assert_int_equal(auth_key_count(a), 1);
    assert_int_equal(check(a, "x-api-key", "e2b_secret", "127.0.0.1", 1), AUTH_OK);
    assert_int_equal(check(a, "X-E2B-API-Key", "e2b_secret", "127.0.0.1", 1), AUTH_OK);
    assert_int_equal(check(a, "X-API-Key", "e2b_secre", "127.0.0.1", 1), AUTH_WRONG);
    assert_int_equal(check(a, "X-API-Key", "", "127.0.0.1", 1), AUTH_MISSING);
    assert_int_equal(check(a, NULL, NULL, "127.0.0.1", 1), AUTH_MISSING);
    auth_free(a);
}

static void without_any_key_nothing_opens(void **state)
{
    struct auth *a = NULL;
    struct err e;

    (void)state;
    assert_int_equal(auth_new(&a, registry, REAL, &e), 0);
    assert_int_equal(check(a, "X-API-Key", "x", "127.0.0.1", 1), AUTH_WRONG);
    assert_int_equal(check(a, "X-API-Key", "", "127.0.0.1", 1), AUTH_MISSING);
    auth_free(a);
}

static void a_right_key_is_never_refused_for_its_neighbours(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    uint64_t now = NS_PER_S;
    unsigned n = 0;

    (void)state;
    while (n < 1000 && check(a, "X-API-Key", "wrong", "10.0.0.1", now) == AUTH_WRONG)
        n++;
    assert_int_equal(n, 128);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.1", now), AUTH_THROTTLED);
    assert_int_equal(check(a, NULL, NULL, "10.0.0.1", now), AUTH_THROTTLED);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.2", now), AUTH_WRONG);
    assert_int_equal(check(a, "X-API-Key", "e2b_secret", "10.0.0.1", now), AUTH_OK);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.1", now + NS_PER_S), AUTH_WRONG);
    auth_free(a);
}

/* What a head with these headers is judged as. */
struct judged {
    enum auth_verdict verdict;
    struct principal who;
    const char *why;
};

static struct judged judge_at(struct auth *a, uint64_t real_ns, const char *const header[][2],
                              size_t n)
{
    struct http1_head head = { 0 };
    struct judged j = { 0 };

    for (size_t i = 0; i < n; i++)
        head.header[head.n_headers++] =
            (struct http1_header){ str_from(header[i][0]), str_from(header[i][1]) };
    j.verdict =
        auth_check(a, &head, "10.0.0.1", (struct auth_time){ 1, real_ns }, &j.who, &j.why);
    return j;
}
#define JUDGE_AT(a, real_ns, ...)                                                              \
    judge_at(a, real_ns, (const char *const[][2])__VA_ARGS__,                                  \
             sizeof((const char *const[][2])__VA_ARGS__) / sizeof(char *[2]))
#define JUDGE(a, ...) JUDGE_AT(a, REAL, __VA_ARGS__)

static void the_operator_s_key_is_the_default_owner_s_and_admin(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    struct judged j = JUDGE(a, { { "X-API-Key", "e2b_secret" } });

    (void)state;
    assert_int_equal(j.verdict, AUTH_OK);
    assert_string_equal(j.who.owner, "default");
    assert_true(caps_have(&j.who.caps, CAP_ADMIN) && j.who.caps.all);
    auth_free(a);
}

static struct key_row wish(const char *owner, const char *caps, uint64_t expires_ns)
{
    struct key_row k = { .name = "n", .expires_ns = expires_ns };

    (void)snprintf(k.owner, sizeof k.owner, "%s", owner);
    assert_int_equal(caps_read_text(str_from(caps), &k.caps), 0);
    return k;
}

static struct auth *again(struct auth *a)
{
    struct err e;

    auth_free(a);
    registry_close(registry);
    assert_int_equal(registry_open(&registry, db_path, &e), 0);
    assert_int_equal(auth_new(&a, registry, REAL, &e), 0);
    return a;
}

static void an_issued_key_opens_until_it_expires_or_is_revoked(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    struct key_row k = wish("user-1", "execute:python", REAL + 10), revoked;
    char text[AUTH_KEY_TEXT + 1], id[AUTH_KEY_ID + 1];
    struct err e = { 0 };

    (void)state;
    assert_int_equal(auth_issue_key(a, &k, REAL, text, &e), 0);
    assert_int_equal(strlen(text), AUTH_KEY_TEXT);
    assert_int_equal(strspn(text + 4, "0123456789abcdef"), 40);
    for (unsigned i = 0; i < 2; i++) { /* also after a restart */
        struct judged j = JUDGE(a, { { "X-API-Key", text } });
        assert_int_equal(j.verdict, AUTH_OK);
        assert_string_equal(j.who.owner, "user-1");
        assert_true(caps_may_execute(&j.who.caps, STR("python")) && !j.who.caps.all);
        assert_int_equal(JUDGE_AT(a, REAL + 9, { { "X-API-Key", text } }).verdict, AUTH_OK);
        assert_int_equal(JUDGE_AT(a, REAL + 10, { { "X-API-Key", text } }).verdict, AUTH_WRONG);
        a = again(a);
    }
    auth_key_id(&k.digest, id);
    assert_int_equal(auth_revoke_key(a, str_from(id), REAL + 1, &revoked, &e), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(JUDGE(a, { { "X-API-Key", text } }).verdict, AUTH_WRONG);
        assert_int_equal(auth_revoke_key(a, str_from(id), REAL + 1, &revoked, &e), -ENOENT);
        a = again(a);
    }
    auth_free(a);
}

static void the_operator_s_key_cannot_be_revoked_over_the_api(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    const struct digest d = digest_of(STR("e2b_secret"));
    char id[AUTH_KEY_ID + 1];
    struct key_row k;
    struct err e = { 0 };

    (void)state;
    auth_key_id(&d, id);
    assert_int_equal(auth_revoke_key(a, str_from(id), REAL, &k, &e), -EPERM);
    assert_int_equal(JUDGE(a, { { "X-API-Key", "e2b_secret" } }).verdict, AUTH_OK);
    auth_free(a);
}

static struct jwt_key token_key(struct auth *a, enum jwt_alg alg)
{
    struct jwt_key k, half;
    struct err e = { 0 };

    jwt_key_make(alg, &k);
    half = k;
    assert_int_equal(auth_add_token_key(a, &half, REAL, &e), 0);
    memcpy(k.kid, half.kid, sizeof k.kid);
    return k;
}

static void bearer(const struct jwt_key *k, const char *user, const char *jti, char out[2048])
{
    AUTO_BUF struct buf b = BUF_INIT(1024);
    struct jwt t = { .iat_s = (int64_t)(REAL / NS_PER_S),
                     .exp_s = (int64_t)(REAL / NS_PER_S) + 600 };

    (void)snprintf(t.user_id, sizeof t.user_id, "%s", user);
    (void)snprintf(t.jti, sizeof t.jti, "%s", jti);
    jwt_sign(k, &t, &b);
    (void)snprintf(out, 2048, "Bearer %s", buf_cstr(&b));
}

static void a_token_opens_as_its_user_until_it_its_user_or_its_key_is_revoked(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    const struct jwt_key ed = token_key(a, JWT_EDDSA), hs = token_key(a, JWT_HS256);
    char one[2048], two[2048], three[2048], nameless[2048];
    struct err e = { 0 };

    (void)state;
    bearer(&ed, "user-1", "j1", one);
    bearer(&ed, "user-1", "j2", two);
    bearer(&ed, "user-2", "j3", three);
    bearer(&hs, "user-3", "", nameless);
    a = again(a);
    struct judged j = JUDGE(a, { { "Authorization", one } });
    assert_int_equal(j.verdict, AUTH_OK);
    assert_true(j.who.is_token);
    assert_string_equal(j.who.owner, "user-1");
    assert_string_equal(j.who.kid, ed.kid);
    assert_int_equal(JUDGE(a, { { "X-API-Key", one + 7 } }).verdict, AUTH_OK);
    struct judged n = JUDGE(a, { { "Authorization", nameless } });
    assert_int_equal(n.verdict, AUTH_OK);
    assert_int_equal(
        auth_deny_token(a, &j.who.credential, (int64_t)(REAL / NS_PER_S) + 600, REAL, &e), 0);
    assert_int_equal(
        auth_deny_token(a, &n.who.credential, (int64_t)(REAL / NS_PER_S) + 600, REAL, &e), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(JUDGE(a, { { "Authorization", one } }).verdict, AUTH_WRONG);
        assert_int_equal(JUDGE(a, { { "Authorization", nameless } }).verdict, AUTH_WRONG);
        assert_int_equal(JUDGE(a, { { "Authorization", two } }).verdict, AUTH_OK);
        a = again(a);
    }
    assert_int_equal(auth_deny_user(a, "user-1", REAL, &e), 0);
    assert_int_equal(JUDGE(a, { { "Authorization", two } }).verdict, AUTH_WRONG);
    assert_int_equal(JUDGE(a, { { "Authorization", three } }).verdict, AUTH_OK);
    assert_int_equal(auth_remove_token_key(a, ed.kid, &e), 0);
    assert_int_equal(auth_remove_token_key(a, ed.kid, &e), -ENOENT);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(JUDGE(a, { { "Authorization", two } }).verdict, AUTH_WRONG);
        assert_int_equal(JUDGE(a, { { "Authorization", three } }).verdict, AUTH_WRONG);
        a = again(a);
    }
    auth_free(a);
}

static void a_credential_in_two_places_is_one_that_others_may_read_otherwise(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    char good[2048];

    (void)state;
    const struct jwt_key k = token_key(a, JWT_EDDSA);
    bearer(&k, "user-1", "j", good);
#define KEY2 "e2b_secret"
    assert_int_equal(JUDGE(a, { { "X-API-Key", KEY2 }, { "x-api-key", KEY2 } }).verdict,
                     AUTH_WRONG);
    assert_int_equal(JUDGE(a, { { "X-API-Key", "x" }, { "X-API-Key", KEY2 } }).verdict,
                     AUTH_WRONG);
    assert_int_equal(JUDGE(a, { { "Authorization", good }, { "Authorization", good } }).verdict,
                     AUTH_MISSING);
    /* The key decides where both kinds are there, as E2B's clients send them. */
    assert_int_equal(JUDGE(a, { { "X-API-Key", "x" }, { "Authorization", good } }).verdict,
                     AUTH_WRONG);
    assert_int_equal(
        JUDGE(a, { { "X-API-Key", KEY2 }, { "Authorization", "Bearer x" } }).verdict, AUTH_OK);
    assert_int_equal(JUDGE(a, { { "Authorization", "Bearer " KEY2 } }).verdict, AUTH_OK);
    assert_int_equal(JUDGE(a, { { "Authorization", "bearer " KEY2 } }).verdict, AUTH_OK);
    assert_int_equal(JUDGE(a, { { "Authorization", "Bearer  " KEY2 } }).verdict, AUTH_WRONG);
    assert_int_equal(JUDGE(a, { { "Authorization", "Bearer\t" KEY2 } }).verdict, AUTH_MISSING);
    assert_int_equal(JUDGE(a, { { "Authorization", "Basic " KEY2 } }).verdict, AUTH_MISSING);
    assert_int_equal(JUDGE(a, { { "Authorization", KEY2 } }).verdict, AUTH_MISSING);
    auth_free(a);
}

static void keys_are_bounded_and_those_that_do_not_open_make_room(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    char text[AUTH_KEY_TEXT + 1];
    struct err e = { 0 };

    (void)state;
    for (unsigned i = 1; i < REGISTRY_KEYS_MAX; i++) {
        struct key_row k = wish("u", "*", i == 1 ? REAL + 5 : 0);
        assert_int_equal(auth_issue_key(a, &k, REAL, text, &e), 0);
    }
    struct key_row more = wish("u", "*", 0);
    assert_int_equal(auth_issue_key(a, &more, REAL, text, &e), -ENOSPC);
    assert_int_equal(auth_issue_key(a, &more, REAL + 6, text, &e), 0);
    assert_int_equal(JUDGE(a, { { "X-API-Key", text } }).verdict, AUTH_OK);
    assert_int_equal(auth_issue_key(a, &more, REAL + 6, text, &e), -ENOSPC);
    assert_int_equal(auth_key_count(a), REGISTRY_KEYS_MAX);
    auth_free(a);
}

static void who_may_see_what(void **state)
{
    static const struct {
        const char *owner, *caps, *its_owner, *its_caps;
        bool want;
    } row[] = {
        { "a", "*", "a", "*", true },
        { "a", "*", "b", "*", false },
        { "a", "* admin", "b", "*", false }, /* an operator asks for others' by name */
        { "a", "*", "aa", "*", false },
        { "a", "execute:python", "a", "execute:python", true },
        { "a", "execute:python", "a", "*", false },
        { "a", "execute:python", "a", "execute:python network:egress", false },
        { "a", "*", "a", "execute:python", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct principal p = { 0 };
        struct caps its;
        (void)snprintf(p.owner, sizeof p.owner, "%s", row[i].owner);
        assert_int_equal(caps_read_text(str_from(row[i].caps), &p.caps), 0);
        assert_int_equal(caps_read_text(str_from(row[i].its_caps), &its), 0);
        assert_int_equal(auth_may_see(&p, row[i].its_owner, &its), row[i].want);
    }
}

/* --- registry --- */

static struct sandbox_facts facts(char last)
{
    struct sandbox_facts f = { .template = "base",
                               .token = "secret",
                               .cpu_count = 2,
                               .memory_mb = 512,
                               .disk_mb = 1024,
                               .owner = "me",
                               .caps = { .set = CAP_NETWORK_EGRESS } };
    (void)snprintf(f.id.text, sizeof f.id.text, "i000000000000000000%c", last);
    return f;
}

struct seen {
    unsigned n;
    struct registry_row last;
    char metadata[64], rules[64], traffic_token[64];
};

static void note_row(const struct registry_row *row, void *arg)
{
    struct seen *s = arg;

    s->n++;
    s->last = *row;
    (void)snprintf(s->metadata, sizeof s->metadata, "%s", row->metadata);
    (void)snprintf(s->rules, sizeof s->rules, "%s", row->rules);
    (void)snprintf(s->traffic_token, sizeof s->traffic_token, "%s", row->traffic_token);
}

static struct seen running(void)
{
    struct seen s = { 0 };
    struct err e;
    assert_int_equal(registry_each_running(registry, note_row, &s, &e), 0);
    return s;
}

static void a_row_survives_the_database_being_opened_again(void **state)
{
    const struct sandbox_facts f = facts('a');
    struct err e;

    (void)state;
    assert_int_equal(registry_insert(registry, &f, "{\"a\":\"b\"}", 5, 100, &e), 0);
    assert_int_equal(running().n, 0); /* starting */
    assert_int_equal(registry_set_running(registry, &f.id, 7, &e), 0);
    assert_int_equal(registry_set_end(registry, &f.id, 200, &e), 0);
    struct network_wish w = { .internet = INTERNET_DENIED,
                              .text = (char *)(uintptr_t) "{}",
                              .secrets = (char *)(uintptr_t) "{\"a.b\":[]}",
                              .traffic_token = "tok" };
    assert_int_equal(registry_set_network(registry, &f.id, &w, &e), 0);
    registry_close(registry);
    assert_int_equal(registry_open(&registry, db_path, &e), 0);
    struct seen s = running();
    assert_int_equal(s.n, 1);
    assert_memory_equal(&s.last.facts.id, &f.id, sizeof f.id);
    assert_string_equal(s.last.facts.token, "secret");
    assert_string_equal(s.last.facts.owner, "me");
    assert_memory_equal(&s.last.facts.caps, &f.caps, sizeof f.caps);
    assert_string_equal(s.metadata, "{\"a\":\"b\"}");
    assert_int_equal(s.last.started_ns, 7);
    assert_int_equal(s.last.end_ns, 200);
    assert_int_equal(s.last.internet, INTERNET_DENIED);
    assert_string_equal(s.rules, "{\"a.b\":[]}");
    assert_string_equal(s.traffic_token, "tok");
    struct template_use use;
    assert_int_equal(registry_template_use(registry, "me", "base", &use, &e), 0);
    assert_int_equal(use.count, 1);
    assert_int_equal(use.last_ns, 7);
    assert_int_equal(registry_template_use(registry, "another", "base", &use, &e), 0);
    assert_int_equal(use.count, 0);
}

/* Is that text in the database or in its log? */
static bool is_on_disk(const char *text)
{
    static const char *const end[] = { "", "-wal" };
    static char bytes[1 << 20];
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(end); i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s%s", db_path, end[i]);
        AUTO_FCLOSE FILE *f = fopen(path, "re");
        size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
        found = found || memmem(bytes, n, text, strlen(text)) != NULL;
    }
    return found;
}

static void secrets_of_a_network_leave_nothing_on_the_disk(void **state)
{
    const struct sandbox_facts f = facts('a');
    struct network_wish w = { .text = (char *)(uintptr_t) "{}",
                              .secrets = (char *)(uintptr_t) "a-secret-of-rules" };
    struct err e;

    (void)state;
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e), 0);
    assert_int_equal(registry_set_network(registry, &f.id, &w, &e), 0);
    assert_true(is_on_disk("a-secret-of-rules"));
    w.secrets = (char *)(uintptr_t) "another-secret";
    assert_int_equal(registry_set_network(registry, &f.id, &w, &e), 0);
    w.secrets = NULL; /* an update without rules */
    assert_int_equal(registry_set_network(registry, &f.id, &w, &e), 0);
    assert_false(is_on_disk("a-secret-of-rules") || is_on_disk("another-secret"));
    (void)snprintf(w.traffic_token, sizeof w.traffic_token, "a-traffic-token");
    assert_int_equal(registry_set_network(registry, &f.id, &w, &e), 0);
    assert_true(is_on_disk("a-traffic-token"));
    assert_int_equal(registry_set_ended(registry, &f.id, "killed", 9, &e), 0);
    assert_false(is_on_disk("a-traffic-token"));
}

static void an_unfinished_start_is_ended_and_cannot_run_any_more(void **state)
{
    const struct sandbox_facts f = facts('a');
    struct err e;

    (void)state;
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e), 0);
    assert_int_equal(registry_end_unfinished(registry, 6, &e), 1);
    assert_int_equal(registry_end_unfinished(registry, 6, &e), 0);
    assert_int_equal(registry_set_running(registry, &f.id, 7, &e), -ENOENT);
    assert_int_equal(running().n, 0);
}

static void an_ended_row_is_ended_for_good(void **state)
{
    const struct sandbox_facts f = facts('a');
    struct err e;

    (void)state;
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e), 0);
    assert_int_equal(registry_set_running(registry, &f.id, 7, &e), 0);
    assert_int_equal(registry_set_ended(registry, &f.id, "killed", 8, &e), 0);
    assert_int_equal(registry_set_ended(registry, &f.id, "timeout", 9, &e),
                     0); /* the first word stands */
    assert_int_equal(registry_set_end(registry, &f.id, 999, &e), 0);
    assert_int_equal(running().n, 0);
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e),
                     -EIO); /* its id is taken ... */
    assert_int_equal(registry_prune(registry, 8 + REGISTRY_ENDED_NS, &e), 0);
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e), -EIO);
    assert_int_equal(registry_prune(registry, 9 + REGISTRY_ENDED_NS, &e), 0);
    assert_int_equal(registry_insert(registry, &f, "{}", 5, 100, &e),
                     0); /* ... until it is forgotten */
}

static void a_newer_database_is_refused(void **state)
{
    char command[256];
    struct err e = { 0 };

    (void)state;
    registry_close(registry);
    registry = NULL;
    (void)snprintf(command, sizeof command, "%s", db_path);
    FILE *f =
        fopen(command, "r+b"); /* bytes 60..63 of the header are user_version, big-endian */
    assert_non_null(f);
    assert_int_equal(fseek(f, 63, SEEK_SET), 0);
    assert_int_equal(fputc(99, f), 99);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(registry_open(&registry, db_path, &e), -EINVAL);
    assert_non_null(strstr(e.text, "newer"));
}

/* As the version before made it. */
static void a_database_of_version_1_is_taken_over(void **state)
{
    static const char old[] =
        "CREATE TABLE sandboxes (id TEXT PRIMARY KEY, template TEXT NOT NULL,"
        " state TEXT NOT NULL, started_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,"
        " ended_ns INTEGER, cause TEXT, cpu_count INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
        " disk_mb INTEGER NOT NULL, internet INTEGER NOT NULL, metadata TEXT NOT NULL,"
        " token TEXT) STRICT, WITHOUT ROWID;"
        "CREATE INDEX sandboxes_by_state ON sandboxes (state, ended_ns);"
        "CREATE TABLE api_keys (digest BLOB PRIMARY KEY, name TEXT NOT NULL,"
        " created_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE template_use (template TEXT PRIMARY KEY, count INTEGER NOT NULL,"
        " last_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "INSERT INTO sandboxes VALUES ('i000000000000000000a', 'base', 'running', 5, 100, NULL,"
        " NULL, 2, 512, 1024, 0, '{}', 'secret');"
        "INSERT INTO template_use VALUES ('base', 7, 5);"
        "PRAGMA user_version = 1;";
    struct template_use use;
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    struct err e = { 0 };
    const struct digest d = digest_of(STR("e2b_old"));

    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO api_keys VALUES (?, 'bootstrap', 1)",
                                        -1, &st, NULL),
                     SQLITE_OK);
    (void)sqlite3_bind_blob(st, 1, d.byte, sizeof d.byte, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(st), SQLITE_DONE);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    assert_int_equal(registry_open(&registry, db_path, &e), 0);
    struct seen s = running();
    assert_int_equal(s.n, 1);
    assert_string_equal(s.last.facts.owner, "default");
    assert_true(s.last.facts.caps.all);
    assert_int_equal(registry_template_use(registry, "default", "base", &use, &e), 0);
    assert_int_equal(use.count, 7);
    struct auth *a = NULL;
    assert_int_equal(auth_new(&a, registry, REAL, &e), 0);
    assert_int_equal(check(a, "X-API-Key", "e2b_old", "127.0.0.1", 1), AUTH_OK);
    auth_free(a);
    (void)delete_registry(state);
}

/* --- fleet --- */

static struct sandbox *sandbox(char last)
{
    const struct sandbox_facts f = facts(last);
    struct sandbox *s = sandbox_new(&f, "{}");
    assert_non_null(s);
    return s;
}

static void the_fleet_is_full_at_its_maximum_and_knows_an_id_once(void **state)
{
    struct fleet *f = fleet_new();
    AUTO_SANDBOX struct sandbox *a = sandbox('a');
    AUTO_SANDBOX struct sandbox *b = sandbox('b');
    AUTO_SANDBOX struct sandbox *again = sandbox('a');

    (void)state;
    assert_int_equal(fleet_add(f, a, 1), 0);
    assert_int_equal(fleet_add(f, b, 1), -ENOSPC);
    assert_int_equal(fleet_add(f, again, 9), -EEXIST);
    assert_true(fleet_remove(f, a));
    assert_false(fleet_remove(f, a));
    assert_int_equal(fleet_add(f, b, 1), 0);
    fleet_free(f);
}

static void only_a_running_sandbox_is_found(void **state)
{
    struct fleet *f = fleet_new();
    AUTO_SANDBOX struct sandbox *a = sandbox('a');
    struct str id = str_from(a->facts.id.text);

    (void)state;
    assert_int_equal(fleet_add(f, a, 9), 0);
    assert_null(fleet_find(f, id));
    assert_true(fleet_start(f, a, 100, 1));
    AUTO_SANDBOX struct sandbox *found = fleet_find(f, id);
    assert_ptr_equal(found, a);
    assert_null(fleet_find(f, STR("i")));
    assert_true(fleet_stop(f, a));
    assert_false(fleet_stop(f, a)); /* one killer */
    assert_null(fleet_find(f, id));
    fleet_unstop(f, a);
    AUTO_SANDBOX struct sandbox *again = fleet_find(f, id);
    assert_ptr_equal(again, a);
    fleet_free(f);
}

static void starts_never_go_back_in_time(void **state)
{
    struct fleet *f = fleet_new();
    AUTO_SANDBOX struct sandbox *a = sandbox('a');
    AUTO_SANDBOX struct sandbox *b = sandbox('b');
    AUTO_SANDBOX struct sandbox *c = sandbox('c');

    (void)state;
    assert_true(fleet_adopt(f, a, 1000, 2000));
    assert_int_equal(fleet_add(f, b, 9), 0);
    assert_int_equal(fleet_add(f, c, 9), 0);
    assert_true(fleet_start(f, b, 500, 1));
    assert_true(fleet_start(f, c, 500, 1));
    assert_int_equal(sandbox_look(b).started_ns, 1001);
    assert_int_equal(sandbox_look(c).started_ns, 1002);
    fleet_free(f);
}

static void the_ring_keeps_the_newest_samples_in_order(void **state)
{
    AUTO_SANDBOX struct sandbox *a = sandbox('a');
    struct sample *out = calloc(SAMPLES_MAX, sizeof *out);
    uint64_t bytes;

    (void)state;
    assert_non_null(out);
    assert_false(sandbox_newest(a, &bytes));
    for (uint64_t i = 1; i <= SAMPLES_MAX + 5; i++) {
        const struct sample one = { .real_ns = i, .memory_bytes = i };
        sandbox_add_sample(a, &one);
    }
    assert_int_equal(sandbox_samples(a, out), SAMPLES_MAX);
    assert_int_equal(out[0].real_ns, 6);
    assert_int_equal(out[SAMPLES_MAX - 1].real_ns, SAMPLES_MAX + 5);
    assert_true(sandbox_newest(a, &bytes));
    assert_int_equal(bytes, SAMPLES_MAX + 5);
    free(out);
}

static void counts_of_a_sandbox_never_fall(void **state)
{
    AUTO_SANDBOX struct sandbox *a = sandbox('a');

    (void)state;
    sandbox_add_counts(a, 2, 7);
    sandbox_add_counts(a, 0, 9); /* a monitor that is gone says nothing */
    assert_int_equal(sandbox_counts(a).oom_kills, 2);
    assert_int_equal(sandbox_counts(a).tripwires, 9);
}

/* --- metrics --- */

static void a_duration_counts_in_every_bucket_that_holds_it(void **state)
{
    static struct metrics m; /* zeroed */
    AUTO_BUF struct buf b = BUF_INIT(1u << 20);
    const struct metrics_now now = { 0 };

    (void)state;
    histogram_add(&m.create_time, 10 * NS_PER_MS); /* exactly a bound belongs to it */
    histogram_add(&m.create_time, 10 * NS_PER_MS + 1);
    histogram_add(&m.create_time, 9999 * NS_PER_S);
    metrics_request(&m, CLASS_GET, 404, 1);
    metrics_request(&m, CLASS_GET, 0, 1);
    metrics_write(&m, &now, &b);
    assert_true(buf_ok(&b));
    const char *text = buf_cstr(&b);
    assert_non_null(
        strstr(text, "e2b_sandbox_create_duration_seconds_bucket{le=\"0.005\"} 0\n"));
    assert_non_null(
        strstr(text, "e2b_sandbox_create_duration_seconds_bucket{le=\"0.01\"} 1\n"));
    assert_non_null(
        strstr(text, "e2b_sandbox_create_duration_seconds_bucket{le=\"0.025\"} 2\n"));
    assert_non_null(strstr(text, "e2b_sandbox_create_duration_seconds_bucket{le=\"300\"} 2\n"));
    assert_non_null(
        strstr(text, "e2b_sandbox_create_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "e2b_sandbox_create_duration_seconds_sum 9999.020000001\n"));
    assert_non_null(
        strstr(text, "http_requests_total{route=\"sandbox_get\",code=\"4xx\"} 1\n"));
    assert_non_null(
        strstr(text, "http_requests_total{route=\"sandbox_get\",code=\"gone\"} 1\n"));
}

int main(void)
{
#define WITH_DB(t) cmocka_unit_test_setup_teardown(t, open_registry, delete_registry)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_signature_is_recognised),
        cmocka_unit_test(other_requests_have_no_signature),
        cmocka_unit_test(the_kernel_s_words_about_a_process_are_read),
        cmocka_unit_test(a_process_outside_of_the_sandbox_s_uids_is_not_taken_for_it),
        WITH_DB(a_stored_key_opens_under_both_header_names),
        WITH_DB(without_any_key_nothing_opens),
        WITH_DB(a_right_key_is_never_refused_for_its_neighbours),
        WITH_DB(the_operator_s_key_is_the_default_owner_s_and_admin),
        WITH_DB(an_issued_key_opens_until_it_expires_or_is_revoked),
        WITH_DB(the_operator_s_key_cannot_be_revoked_over_the_api),
        WITH_DB(a_token_opens_as_its_user_until_it_its_user_or_its_key_is_revoked),
        WITH_DB(a_credential_in_two_places_is_one_that_others_may_read_otherwise),
        WITH_DB(keys_are_bounded_and_those_that_do_not_open_make_room),
        cmocka_unit_test(who_may_see_what),
        cmocka_unit_test(a_database_of_version_1_is_taken_over),
        WITH_DB(a_row_survives_the_database_being_opened_again),
        WITH_DB(secrets_of_a_network_leave_nothing_on_the_disk),
        WITH_DB(an_unfinished_start_is_ended_and_cannot_run_any_more),
        WITH_DB(an_ended_row_is_ended_for_good),
        WITH_DB(a_newer_database_is_refused),
        cmocka_unit_test(the_fleet_is_full_at_its_maximum_and_knows_an_id_once),
        cmocka_unit_test(only_a_running_sandbox_is_found),
        cmocka_unit_test(starts_never_go_back_in_time),
        cmocka_unit_test(the_ring_keeps_the_newest_samples_in_order),
        cmocka_unit_test(counts_of_a_sandbox_never_fall),
        cmocka_unit_test(a_duration_counts_in_every_bucket_that_holds_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
