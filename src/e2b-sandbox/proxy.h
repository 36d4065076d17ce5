/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/proxy: the way into sandboxes. Looks at the head only, asks the monitor for a connection, and hands both to the
 * relay of lib/http; no byte of a body is read here. envd itself checks its access token. */
#pragma once
#include "e2b-sandbox/app.h"

/* Answers a request that is for port `port` of sandbox `id`. */
void proxy_handle(struct http_conn *c, struct app *a, const char *id, uint32_t port);

/* GET and POST /files without sandbox headers but with a signature: finds the sandbox whose token has made the signature.
 * True if it has answered; false if this is no such request. */
bool proxy_handle_signed(struct http_conn *c, struct app *a);
