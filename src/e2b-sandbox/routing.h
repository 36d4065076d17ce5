/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/routing: who a request is for, from its head alone (e2b-wire 1.4). Pure.
 *
 * A Host of the form {port}-{id}.domain names a sandbox. The two headers E2b-Sandbox-Id and E2b-Sandbox-Port do so only if
 * Host is localhost, an IP literal, a name without a dot, sandbox.domain or one of our own names: a page that rebinds its own
 * name to this address can then not choose a sandbox. All else is the control plane. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "codec/http1.h"

#define ROUTING_ID_MAX    63u
#define ROUTING_HOSTS_MAX 4u

struct routing_hosts { /* further names of this service, lower case */
    const char *name[ROUTING_HOSTS_MAX];
    size_t n;
};

enum routing_kind { ROUTING_CONTROL, ROUTING_SANDBOX, ROUTING_BAD };

struct routing {
    enum routing_kind kind;
    char id[ROUTING_ID_MAX + 1]; /* SANDBOX: [a-z0-9]+ */
    uint32_t port;               /* SANDBOX: 1..65535 */
    const char *why;             /* BAD: a sentence for the answer (400) */
};

void routing_decide(const struct http1_head *head, const struct routing_hosts *own,
                    struct routing *out);

/* Does this path, however it is spelled (percent-encoded once or more, doubled slashes, dot segments, other case), lead to
 * what only the service itself may ask of envd? 1 yes, 0 no, -EINVAL if it cannot be decoded. */
int routing_is_internal_path(struct str path);
/* The same for envd's process service, which runs any program. */
int routing_is_process_path(struct str path);
