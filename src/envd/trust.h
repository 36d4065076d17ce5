/* SPDX-License-Identifier: Apache-2.0 */
/* trust: an authority of the host's is added to those that programs of this sandbox trust. */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define TRUST_PEM_MAX 4096u

/* Writes the certificate (PEM; `hash` of its subject) to where Debian has such of its own, to
 * /etc/ssl/certs under its hash, and behind the bundle ca-certificates.crt, which is made if the
 * image has none. Once: a second call with the same certificate changes nothing. 0, or -errno with
 * *e. */
int trust_add(struct str pem, uint32_t hash, struct err *e);
/* Variables for programs with a list of their own, as an object of strings. Owned; NULL when out of
 * memory. */
json_t *trust_env(void);
