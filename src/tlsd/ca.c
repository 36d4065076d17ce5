/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's authority has a key that follows from our seed and the sandbox's id: it is never
 * stored, and the same after a restart, so that what the sandbox trusts stays true. */
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/rand.h"
#include "tlsd/tlsd.h"

#define DAY_S     86400L
#define CA_DAYS   400L /* longer than any sandbox lives */
#define LEAF_DAYS 7L
#define LEAF_NS   ((uint64_t)DAY_S * NS_PER_S) /* one that is older is made anew */
#define POINT_N   65u                          /* of P-256, uncompressed */

/* --- keys --- */

static EVP_PKEY *key_from(const BIGNUM *secret, const uint8_t *point)
{
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (b && c &&
        OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_N) == 1 &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, secret) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(b)) && EVP_PKEY_fromdata_init(c) == 1)
        (void)EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, params); /* else it stays NULL */
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX_free(c);
    return key;
}

/* 512 bits of the seed and the id, modulo the order less one, and one. */
static bool make_secret(const struct authorities *a, const struct sandbox_id *id,
                        const BIGNUM *order, BIGNUM *secret, BN_CTX *ctx)
{
    uint8_t bits[64], label[8 + sizeof id->text] = "ca-key0";
    bool ok = true;

    memcpy(label + 8, id->text, sizeof id->text);
    for (size_t half = 0; half < 2; half++) {
        label[6] = (uint8_t)('0' + half);
        ok = ok && HMAC(EVP_sha256(), a->seed, SEED_N, label, sizeof label, bits + 32 * half,
                        NULL) != NULL;
    }
    BIGNUM *wide = ok ? BN_bin2bn(bits, sizeof bits, NULL) : NULL;
    BIGNUM *less = wide ? BN_dup(order) : NULL;
    ok = less && BN_sub_word(less, 1) == 1 && BN_mod(secret, wide, less, ctx) == 1 &&
         BN_add_word(secret, 1) == 1;
    BN_clear_free(wide);
    BN_free(less);
    explicit_bzero(bits, sizeof bits);
    return ok;
}

static EVP_PKEY *authority_key(const struct authorities *a, const struct sandbox_id *id)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *secret = BN_secure_new();
    uint8_t bytes[POINT_N];
    EVP_PKEY *key = NULL;

    if (point && ctx && secret && make_secret(a, id, EC_GROUP_get0_order(group), secret, ctx) &&
        EC_POINT_mul(group, point, secret, NULL, NULL, ctx) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof bytes,
                           ctx) == sizeof bytes)
        key = key_from(secret, bytes);
    BN_clear_free(secret);
    BN_CTX_free(ctx);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return key;
}

int ca_init(struct authorities *a, struct err *e)
{
    a->leaf_key = EVP_EC_gen("prime256v1");
    return a->leaf_key ? 0 : err_set(e, ENOMEM, "make a key");
}

/* --- certificates --- */

static bool set_basics(X509 *x, EVP_PKEY *key, long days)
{
    uint8_t serial[16];
    BIGNUM *n;

    rand_bytes(serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 1;
    n = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) &&
              X509_set_version(x, 2) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) &&
              X509_gmtime_adj(X509_getm_notAfter(x), days * DAY_S) &&
              X509_set_pubkey(x, key) == 1;
    BN_free(n);
    return ok;
}

static bool add_entry(X509_NAME *n, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(n, field, MBSTRING_ASC, (const unsigned char *)text, -1,
                                      -1, 0) == 1;
}

static X509_NAME *authority_name(const struct sandbox_id *id)
{
    X509_NAME *n = X509_NAME_new();
    char text[64];

    (void)snprintf(text, sizeof text, "Firebreak egress of %s", id->text);
    if (n && add_entry(n, "O", "Firebreak") && add_entry(n, "CN", text))
        return n;
    X509_NAME_free(n);
    return NULL;
}

/* `value` is constant, or has a name in it that egress_name_normalise has passed. */
static bool extend(X509 *x, X509 *issuer, int what, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static X509 *make_authority(const struct sandbox_id *id, EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = authority_name(id);
    bool ok = x && name && set_basics(x, key, CA_DAYS) && X509_set_subject_name(x, name) == 1 &&
              X509_set_issuer_name(x, name) == 1 &&
              extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extend(x, x, NID_subject_key_identifier, "hash") &&
              X509_sign(x, key, EVP_sha256()) > 0;

    X509_NAME_free(name);
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

int ca_certificate(const struct authorities *a, const struct sandbox_id *id,
                   char out[TLSD_CERT_MAX], uint32_t *hash)
{
    EVP_PKEY *key = authority_key(a, id);
    X509 *x = key ? make_authority(id, key) : NULL;
    BIO *b = x ? BIO_new(BIO_s_mem()) : NULL;
    int rc = -ENOMEM;

    if (b && PEM_write_bio_X509(b, x) == 1) {
        char *text;
        long n = BIO_get_mem_data(b, &text);
        rc = n > 0 && n <= (long)TLSD_CERT_MAX ? (int)n : -EMSGSIZE;
        if (rc > 0)
            memcpy(out, text, (size_t)n);
        *hash = (uint32_t)X509_subject_name_hash(x);
    }
    BIO_free(b);
    X509_free(x);
    EVP_PKEY_free(key);
    return rc;
}

static X509 *make_leaf(const struct authorities *a, const struct sandbox_id *id, EVP_PKEY *key,
                       const char *name)
{
    X509 *issuer = make_authority(id, key), *x = X509_new();
    char alt[EGRESS_NAME_MAX + 8];

    (void)snprintf(alt, sizeof alt, "DNS:%s", name);
    bool ok = issuer && x && set_basics(x, a->leaf_key, LEAF_DAYS) &&
              X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
              add_entry(X509_get_subject_name(x), "O", "Firebreak") &&
              extend(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(x, issuer, NID_key_usage, "critical,digitalSignature") &&
              extend(x, issuer, NID_ext_key_usage, "serverAuth") &&
              extend(x, issuer, NID_subject_key_identifier, "hash") &&
              extend(x, issuer, NID_authority_key_identifier, "keyid") &&
              extend(x, issuer, NID_subject_alt_name, alt) &&
              X509_sign(x, key, EVP_sha256()) > 0;
    X509_free(issuer);
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

/* --- what is served --- */

/* HTTP/1.1 only: a client that offers others alone is told so. */
static int choose_protocol(SSL *s, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char http1[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    (void)s;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_n, http1, sizeof http1 - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *serve(X509 *x, EVP_PKEY *key)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());

    if (!c || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate(c, x) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1) {
        SSL_CTX_free(c);
        return NULL;
    }
    (void)SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(c, 0);
    (void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    return c;
}

static SSL_CTX *make_served(const struct authorities *a, const struct sandbox_id *id,
                            const char *name)
{
    EVP_PKEY *key = authority_key(a, id);
    X509 *x = key ? make_leaf(a, id, key, name) : NULL;
    SSL_CTX *c = x ? serve(x, a->leaf_key) : NULL;

    X509_free(x);
    EVP_PKEY_free(key);
    return c;
}

SSL_CTX *ca_leaf(struct authorities *a, const struct sandbox_id *id, const char *name,
                 uint64_t now_ns)
{
    struct leaf *oldest = &a->leaf[0];

    for (size_t i = 0; i < LEAVES_MAX; i++) {
        struct leaf *l = &a->leaf[i];
        if (l->ctx && now_ns - l->made_ns < LEAF_NS && memcmp(&l->id, id, sizeof *id) == 0 &&
            strcmp(l->name, name) == 0) {
            l->used_ns = now_ns;
            return l->ctx;
        }
        if (!l->ctx || (oldest->ctx && l->used_ns < oldest->used_ns))
            oldest = l;
    }
    SSL_CTX *c = make_served(a, id, name);
    if (!c)
        return NULL;
    SSL_CTX_free(oldest->ctx); /* connections that use it hold it */
    *oldest = (struct leaf){ .id = *id, .ctx = c, .made_ns = now_ns, .used_ns = now_ns };
    (void)str_copy(str_from(name), oldest->name, sizeof oldest->name); /* normalised: it fits */
    return c;
}
