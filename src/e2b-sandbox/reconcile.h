/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/reconcile: a thread that, every five seconds and whenever it is told to, compares what we think runs with what the
 * warden says, puts right what differs, samples the sandboxes, and forgets what is long over. */
#pragma once
#include "e2b-sandbox/app.h"

/* Puts the sandboxes of the registry into the fleet; those whose creation this program's death cut short are ended. */
int reconcile_load(struct app *a, struct err *e);

int reconcile_start(struct reconciler **out, struct app *a, struct err *e);
void reconcile_stop(struct reconciler *r);
/* Soon instead of in up to five seconds. NULL is fine. */
void reconcile_soon(struct reconciler *r);
/* Waits until it has compared once; false after timeout_ns. */
bool reconcile_wait_first(struct reconciler *r, uint64_t timeout_ns);
