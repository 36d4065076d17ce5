/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes and packets: what is parsed has one form; no bytes are opened that were not sealed; any JSON document has a canonical form that reads back as
 * itself; a packet is read whole or fails. The key is set, so that no input pays for a derivation. */
#include <string.h>

#include "base/auto.h"
#include "secrets/canon.h"
#include "secrets/envelope.h"
#include "secrets/packet.h"

#include "fuzz.h"

static int take(void *arg, const char *name, struct str value, enum packet_how how)
{
    unsigned *n = arg;

    FUZZ_CHECK(envelope_name_ok(str_from(name)));
    FUZZ_CHECK(value.n <= ENVELOPE_VALUE_MAX);
    FUZZ_CHECK(how != PACKET_ENCRYPTED);
    ++*n;
    return 0;
}

static void try_envelope(struct str in)
{
    struct envelope v;
    struct err e;
    struct envelope_key k = { .is_set = true, .kid = "0000000000000000" };
    AUTO_BUF struct buf out = BUF_INIT(ENVELOPE_VALUE_MAX);

    if (envelope_parse(in, &v) < 0)
        return;
    fuzz_check_within(v.sealed_text, in.p, in.n);
    k.kdf = v.kdf;
    memcpy(k.salt, v.salt, sizeof k.salt);
    FUZZ_CHECK(envelope_open(&k, STR("x"), STR("A"), in, &out, &e) < 0);
    FUZZ_CHECK(out.n == 0);
}

static void try_document(struct str in)
{
    struct err e = { 0 };
    unsigned seen = 0;
    AUTO_BUF struct buf a = BUF_INIT(8u << 20), b = BUF_INIT(8u << 20);
    AUTO_JSON json_t *doc = json_parse(in, &e);

    /* An envelope inside would cost a derivation. */
    if (!doc || memmem(in.p, in.n, "v1.", 3) || memmem(in.p, in.n, "v2.", 3))
        return;
    struct packet_reader r = { .plain_is_fine = true, .fn = take, .arg = &seen };
    int n = packet_read(&r, doc, &e);
    FUZZ_CHECK(n < 0 || (unsigned)n == seen);
    if (!canon_write(&a, doc, NULL))
        return;
    AUTO_JSON json_t *again = json_parse(buf_str(&a), &e);
    FUZZ_CHECK(again && canon_write(&b, again, NULL) && str_eq(buf_str(&a), buf_str(&b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };

    try_envelope(in);
    try_document(in);
    return 0;
}
