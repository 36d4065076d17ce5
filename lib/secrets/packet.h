/* SPDX-License-Identifier: Apache-2.0 */
/* packet: reads secrets out of CGP packets (requirements 2.1): v0.1 and v0.2 (super_nodes[0].constellations[], each with a label and a first point), v1.0
 * (points[] with label, value, encoding). What they call encoding is none of encryption: clear text, base64 and hexadecimal are plain, and are
 * read only where the caller allows plain. A point may have text_enc instead, an envelope of ours. Nothing is skipped: one entry that cannot be read
 * fails the packet. Pure. */
#pragma once
#include "base/err.h"
#include "codec/json.h"
#include "secrets/envelope.h"

enum packet_how { PACKET_ENCRYPTED, PACKET_CLEAR, PACKET_BASE64, PACKET_HEX };

struct packet_reader {
    struct str passphrase;   /* for envelopes; empty: there must be none */
    struct envelope_key key; /* of the last envelope; envelope_key_fini when done */
    bool plain_is_fine;      /* not in production */
    unsigned n_plain;        /* out: how many were plain */
    /* Each secret; the value is wiped after the call. < 0 ends the reading. */
    int (*fn)(void *arg, const char *name, struct str value, enum packet_how how);
    void *arg;
};

/* How many secrets; -EINVAL: not such a packet; -EPERM: a plain one where none is allowed; -EBADMSG: an envelope that does not open; *e names the
 * variable, never a value. */
int packet_read(struct packet_reader *r, const json_t *doc, struct err *e);
