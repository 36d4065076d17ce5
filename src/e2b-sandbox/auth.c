/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/digest.h"
#include "base/auto.h"
#include "base/token_bucket.h"

#define SOURCES                                                                                \
    256u /* addresses whose failures are counted; the one that failed longest ago makes room */
#define FAILURES_BURST 128u
#define FAILURES_PER_S 8u
#define KEY_BYTES_MAX  256u

struct source {
    uint8_t address[16];
    struct token_bucket bucket;
    uint64_t last_ns; /* 0: unused */
};

struct auth {
    struct digest *key; /* fixed after auth_new */
    size_t n_keys;
    pthread_mutex_t lock; /* around these: */
    struct source source[SOURCES];
};

int auth_new(struct auth **out, struct registry *r, struct err *e)
{
    struct auth *a = calloc(1, sizeof *a);

    if (a)
        a->key = calloc(REGISTRY_KEYS_MAX, sizeof *a->key);
    if (!a || !a->key) {
        free(a);
        return err_set(e, ENOMEM, "load the API keys");
    }
    (void)pthread_mutex_init(&a->lock, NULL);
    if (registry_load_keys(r, a->key, &a->n_keys, e) < 0) {
        auth_free(a);
        return -e->code;
    }
    *out = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    (void)pthread_mutex_destroy(&a->lock);
    free(a->key);
    free(a);
}

size_t auth_key_count(const struct auth *a)
{
    return a->n_keys;
}

static bool is_known(const struct auth *a, struct str key)
{
    struct digest d = digest_of(key);
    struct str got = { (const char *)d.byte, sizeof d.byte };
    bool known = false;

    for (size_t i = 0; i < a->n_keys; i++) /* to the end, also after a match */
        known |=
            str_eq_secret((struct str){ (const char *)a->key[i].byte, sizeof d.byte }, got);
    return known;
}

/* Sixteen bytes for an address; zeros for anything else (a Unix socket). */
static void address_of(const char *peer, uint8_t out[16])
{
    struct in_addr v4;
    struct in6_addr v6;

    memset(out, 0, 16);
    if (inet_pton(AF_INET, peer, &v4) == 1) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, peer, &v6) == 1) {
        memcpy(out, &v6, IN6_IS_ADDR_V4MAPPED(&v6) ? 16 : 8);
    }
}

static struct source *source_of(struct auth *a, const uint8_t address[16], uint64_t now_ns)
{
    struct source *oldest = &a->source[0];

    for (size_t i = 0; i < SOURCES; i++) {
        struct source *s = &a->source[i];
        if (s->last_ns != 0 && memcmp(s->address, address, sizeof s->address) == 0)
            return s;
        if (s->last_ns < oldest->last_ns)
            oldest = s;
    }
    memcpy(oldest->address, address, sizeof oldest->address);
    (void)token_bucket_init(&oldest->bucket, FAILURES_BURST, FAILURES_PER_S,
                            now_ns); /* constants: cannot fail */
    return oldest;
}

static bool may_fail_again(struct auth *a, const char *peer, uint64_t now_ns)
{
    uint8_t address[16];

    address_of(peer, address);
    (void)pthread_mutex_lock(&a->lock);
    struct source *s = source_of(a, address, now_ns);
    s->last_ns = now_ns > 0 ? now_ns : 1;
    bool ok = token_bucket_take(&s->bucket, 1, now_ns);
    (void)pthread_mutex_unlock(&a->lock);
    return ok;
}

enum auth_verdict auth_check(struct auth *a, const struct http1_head *head, const char *peer,
                             uint64_t mono_ns)
{
    struct str key = http1_get(head, "X-API-Key");

    if (!key.p)
        key = http1_get(head, "X-E2B-API-Key");
    if (key.n > 0 && key.n <= KEY_BYTES_MAX && is_known(a, key))
        return AUTH_OK;
    if (!may_fail_again(a, peer, mono_ns))
        return AUTH_THROTTLED;
    return key.n == 0 ? AUTH_MISSING : AUTH_WRONG;
}
