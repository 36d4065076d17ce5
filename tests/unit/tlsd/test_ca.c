/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tlsd/tlsd.h"

/* What main.c has. */
int watch_add(struct tlsd *t, struct watch *w, uint32_t events)
{
    (void)t;
    (void)w;
    (void)events;
    return -ENOSYS;
}
int watch_change(struct tlsd *t, struct watch *w, uint32_t events)
{
    return watch_add(t, w, events);
}
void watch_close(struct tlsd *t, struct watch *w)
{
    (void)watch_add(t, w, 0);
}
void tell(struct tlsd *t, const struct tlsd_notice *n)
{
    (void)t;
    (void)n;
}

static const struct sandbox_id A = { .text = "iaaaaaaaaaaaaaaaaaaa" };
static const struct sandbox_id B = { .text = "ibbbbbbbbbbbbbbbbbbb" };

static struct authorities *start(uint8_t seed)
{
    struct authorities *a = calloc(1, sizeof *a);
    struct err e;

    assert_non_null(a);
    memset(a->seed, seed, sizeof a->seed);
    assert_int_equal(ca_init(a, &e), 0);
    return a;
}

static void stop(struct authorities *a)
{
    for (size_t i = 0; i < LEAVES_MAX; i++)
        SSL_CTX_free(a->leaf[i].ctx);
    EVP_PKEY_free(a->leaf_key);
    free(a);
}

static X509 *authority(struct authorities *a, const struct sandbox_id *id)
{
    char pem[TLSD_CERT_MAX];
    uint32_t hash = 0;
    int n = ca_certificate(a, id, pem, &hash);

    assert_true(n > 0);
    BIO *b = BIO_new_mem_buf(pem, n);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    assert_non_null(x);
    assert_int_equal(hash, (uint32_t)X509_subject_name_hash(x));
    return x;
}

/* X509_V_OK if `trusted` vouches for the leaf of that sandbox under that name, strictly. */
static int verify(struct authorities *a, const struct sandbox_id *id, const char *name,
                  const char *as, X509 *trusted)
{
    SSL_CTX *c = ca_leaf(a, id, name, clock_mono_ns());
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    assert_non_null(c);
    assert_int_equal(X509_STORE_add_cert(store, trusted), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, SSL_CTX_get0_certificate(c), NULL), 1);
    (void)X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), as, 0);
    (void)X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
    (void)X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    (void)X509_verify_cert(ctx);
    int result = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return result;
}

static void an_authority_vouches_for_its_sandbox_and_name_only(void **state)
{
    struct authorities *a = start(1);
    X509 *of_a = authority(a, &A), *of_b = authority(a, &B);

    (void)state;
    assert_int_equal(verify(a, &A, "api.example", "api.example", of_a), X509_V_OK);
    assert_int_equal(verify(a, &A, "api.example", "other.example", of_a),
                     X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_not_equal(verify(a, &A, "api.example", "api.example", of_b), X509_V_OK);
    X509_free(of_a);
    X509_free(of_b);
    stop(a);
}

static void the_same_seed_is_the_same_authority_after_a_restart(void **state)
{
    struct authorities *before = start(1), *after = start(1), *other = start(2);
    X509 *trusted = authority(before, &A);

    (void)state;
    assert_int_equal(verify(after, &A, "api.example", "api.example", trusted), X509_V_OK);
    assert_int_not_equal(verify(other, &A, "api.example", "api.example", trusted), X509_V_OK);
    X509_free(trusted);
    stop(before);
    stop(after);
    stop(other);
}

static void leaves_are_kept_up_to_a_number_and_a_day(void **state)
{
    struct authorities *a = start(1);
    uint64_t day_ns = UINT64_C(86400) * NS_PER_S;
    char name[sizeof a->leaf[0].name];

    (void)state;
    const SSL_CTX *first = ca_leaf(a, &A, "first.example", 1);
    assert_ptr_equal(ca_leaf(a, &A, "first.example", 2), first);
    assert_ptr_not_equal(ca_leaf(a, &B, "first.example", 3), first);
    for (unsigned i = 0; i < LEAVES_MAX; i++) {
        (void)snprintf(name, sizeof name, "n%u.example", i);
        assert_non_null(ca_leaf(a, &A, name, 10 + i));
    }
    for (unsigned i = 0; i < LEAVES_MAX; i++)
        assert_string_not_equal(a->leaf[i].name, "first.example");
    uint64_t made_ns = a->leaf[5].made_ns;
    (void)snprintf(name, sizeof name, "%s", a->leaf[5].name);
    (void)ca_leaf(a, &A, name, made_ns + day_ns);
    unsigned fresh = 0;
    for (unsigned i = 0; i < LEAVES_MAX; i++)
        fresh += strcmp(a->leaf[i].name, name) == 0 && a->leaf[i].made_ns == made_ns + day_ns;
    assert_int_equal(fresh, 1);
    stop(a);
}

static void the_longest_name_gets_a_certificate(void **state)
{
    struct authorities *a = start(1);
    char name[EGRESS_NAME_MAX + 1];
    X509 *of_a = authority(a, &A);

    (void)state;
    for (size_t i = 0; i < EGRESS_NAME_MAX; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[EGRESS_NAME_MAX] = 0;
    assert_int_equal(verify(a, &A, name, name, of_a), X509_V_OK);
    X509_free(of_a);
    stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authority_vouches_for_its_sandbox_and_name_only),
        cmocka_unit_test(the_same_seed_is_the_same_authority_after_a_restart),
        cmocka_unit_test(leaves_are_kept_up_to_a_number_and_a_day),
        cmocka_unit_test(the_longest_name_gets_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
