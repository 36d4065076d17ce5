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

static enum auth_verdict check(struct auth *a, const char *name, const char *key,
                               const char *peer, uint64_t now_ns)
{
    struct http1_head head = { 0 };

    if (name)
        head.header[head.n_headers++] = (struct http1_header){ str_from(name), str_from(key) };
    return auth_check(a, &head, peer, now_ns);
}

static struct auth *auth_with(const char *key)
{
    const struct digest d = digest_of(str_from(key));
    struct auth *a = NULL;
    struct err e;

    assert_int_equal(registry_set_bootstrap_key(registry, &d, 1, &e), 0);
    assert_int_equal(auth_new(&a, registry, &e), 0);
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
    assert_int_equal(auth_new(&a, registry, &e), 0);
    assert_int_equal(check(a, "X-API-Key", "x", "127.0.0.1", 1), AUTH_WRONG);
    assert_int_equal(check(a, "X-API-Key", "", "127.0.0.1", 1), AUTH_MISSING);
    auth_free(a);
}

static void failures_are_limited_per_address_and_come_back_with_time(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    uint64_t now = NS_PER_S;
    unsigned n = 0;

    (void)state;
    while (n < 1000 && check(a, "X-API-Key", "wrong", "10.0.0.1", now) == AUTH_WRONG)
        n++;
    assert_int_equal(n, 128);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.1", now), AUTH_THROTTLED);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.2", now), AUTH_WRONG);
    assert_int_equal(check(a, "X-API-Key", "e2b_secret", "10.0.0.1", now), AUTH_OK);
    assert_int_equal(check(a, "X-API-Key", "wrong", "10.0.0.1", now + NS_PER_S), AUTH_WRONG);
    auth_free(a);
}

static void addresses_of_one_v6_network_share_their_failures(void **state)
{
    struct auth *a = auth_with("e2b_secret");
    char peer[64];

    (void)state;
    for (unsigned i = 0; i < 128; i++) {
        (void)snprintf(peer, sizeof peer, "2001:db8:0:1::%x", i);
        assert_int_equal(check(a, NULL, NULL, peer, NS_PER_S), AUTH_MISSING);
    }
    assert_int_equal(check(a, NULL, NULL, "2001:db8:0:1:ffff::1", NS_PER_S), AUTH_THROTTLED);
    assert_int_equal(check(a, NULL, NULL, "2001:db8:0:2::1", NS_PER_S), AUTH_MISSING);
    auth_free(a);
}

/* --- registry --- */

static struct sandbox_facts facts(char last)
{
    struct sandbox_facts f = {
        .template = "base", .token = "secret", .cpu_count = 2, .memory_mb = 512, .disk_mb = 1024
    };
    (void)snprintf(f.id.text, sizeof f.id.text, "i000000000000000000%c", last);
    return f;
}

struct seen {
    unsigned n;
    struct registry_row last;
    char metadata[64];
};

static void note_row(const struct registry_row *row, void *arg)
{
    struct seen *s = arg;

    s->n++;
    s->last = *row;
    (void)snprintf(s->metadata, sizeof s->metadata, "%s", row->metadata);
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
    assert_int_equal(registry_set_network(registry, &f.id, INTERNET_DENIED, "{}", &e), 0);
    registry_close(registry);
    assert_int_equal(registry_open(&registry, db_path, &e), 0);
    struct seen s = running();
    assert_int_equal(s.n, 1);
    assert_memory_equal(&s.last.facts.id, &f.id, sizeof f.id);
    assert_string_equal(s.last.facts.token, "secret");
    assert_string_equal(s.metadata, "{\"a\":\"b\"}");
    assert_int_equal(s.last.started_ns, 7);
    assert_int_equal(s.last.end_ns, 200);
    assert_int_equal(s.last.internet, INTERNET_DENIED);
    struct template_use use;
    assert_int_equal(registry_template_use(registry, "base", &use, &e), 0);
    assert_int_equal(use.count, 1);
    assert_int_equal(use.last_ns, 7);
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
        WITH_DB(failures_are_limited_per_address_and_come_back_with_time),
        WITH_DB(addresses_of_one_v6_network_share_their_failures),
        WITH_DB(a_row_survives_the_database_being_opened_again),
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
