/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/network: sandboxes' networks: given, changed, taken away, told again to a netd that has started anew. */
#pragma once
#include "base/buf.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/network_wish.h"

#define NETWORK_MASK_N (NETWORK_HOST_MAX + 1)

/* Starts the client of netd if the operator allows networks. Waits a moment until netd knows what runs. */
int network_start(struct app *a, struct err *e);

/* Is this asked of a server whose operator does not give it? Then -1 with *f (403). That everything is allowed is what some clients
 * send of their own accord (Python, the CLI): for them it becomes what it would be unsaid, and the sandbox has loopback.
 * Where he gives networks, `caps` need network:egress for one; without it a wish that says nothing becomes one for none. */
int network_admit(const struct app *a, const struct caps *caps, struct network_wish *w,
                  struct failure *f);
/* The same for a change of a running one, where whoever says it means it. */
int network_admit_change(const struct app *a, const struct caps *caps, struct network_wish *w,
                         struct failure *f);

/* Gives a new sandbox what was wished for (w is taken), before anything of its user runs. 0, or -1 with *f. */
int network_give(struct app *a, struct sandbox *s, struct network_wish *w, struct failure *f);
/* Replaces the policy of a running one (w is taken): in force, and stored, when it returns 0. Else -1 with *f. */
int network_change(struct app *a, struct sandbox *s, struct network_wish *w, struct failure *f);
/* The certificate that a sandbox is to trust: 1 with m.ca and m.ca_hash, 0 if it needs none (no header is set for it, or it has it
 * already), -1 with *f if it cannot be had. Waits a moment for it. */
struct netd_msg;
int network_authority(struct app *a, struct sandbox *s, struct netd_msg *m, struct failure *f);
void network_authority_known(struct sandbox *s); /* it has it now */

/* It has ended. */
void network_forget(struct app *a, struct sandbox *s);
/* At the start: what the registry knows of it. */
void network_adopt(struct app *a, struct sandbox *s, const struct registry_row *row);

/* "allowInternetAccess":..., and "network":{...} if something was said, each with a comma behind it. */
void network_describe(struct sandbox *s, struct buf *out);
/* "trafficAccessToken":... */
void network_describe_token(struct sandbox *s, struct buf *out);
/* May a request to one of its ports, envd's left aside, go in? And the Host that it is to bring, in out, "" if it keeps its own. */
bool network_lets_in(struct sandbox *s, struct str token);
void network_mask_host(struct sandbox *s, uint32_t port, char out[NETWORK_MASK_N]);
/* Of the isolation report: a string. */
const char *network_kind(const struct app *a, struct sandbox *s);
/* Prometheus series; none without netd. */
void network_metrics(struct app *a, struct buf *out);
