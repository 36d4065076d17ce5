/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/lifecycle: what happens to a sandbox: created, prolonged, killed, ended. Registry, fleet and warden are changed here
 * only, so that they agree. */
#pragma once
#include <stdint.h>

#include "e2b-sandbox/app.h"
#include "store/template.h"

/* Why something was not done, as the answer says it. */
struct failure {
    unsigned status;
    const char *error_code; /* or NULL */
    const char *headers;    /* or NULL */
    char message[320];
};

/* It becomes who's. Takes r's network. Returns 0 with *out running and envd ready (a reference), or -1 with *f and nothing left of it. */
int lifecycle_create(struct app *a, const struct principal *who, struct create_request *r,
                     const struct template *t, struct sandbox **out, struct failure *f);

/* Returns when it is gone: 0, or -1 with *f (404 if somebody else was faster). */
int lifecycle_kill(struct app *a, struct sandbox *s, struct failure *f);

/* Gives it another access token, of which nobody has been told; under its change_lock. 0, or -errno with *e and the old one still set. */
int lifecycle_change_token(struct app *a, struct sandbox *s, struct err *e);

enum end_change {
    END_SET,   /* now + seconds, also if that is earlier */
    END_EXTEND /* never earlier than it is */
};
/* Changes when it ends, but not beyond the longest life. 0 or -1 with *f. */
int lifecycle_change_end(struct app *a, struct sandbox *s, enum end_change how,
                         uint32_t seconds, struct failure *f);

/* It has ended: takes note, once, whoever tells. */
void lifecycle_ended(struct app *a, struct sandbox *s, enum sandbox_cause cause);
/* The same with all that WARDEN_EXITED says. */
void lifecycle_ended_with(struct app *a, struct sandbox *s, const struct warden_msg *m);

/* The largest number of sandboxes at once: ours, or the warden's if that is less. */
uint32_t lifecycle_max_sandboxes(struct app *a);

void failure_not_found(struct failure *f, const char *id);

/* Has a running sandbox trust the authority that shows it hosts whose requests get headers, if there are such. 0, or -1 with *f. */
int lifecycle_trust(struct app *a, struct sandbox *s, struct failure *f);
