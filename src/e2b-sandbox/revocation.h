/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/revocation: what a revoked credential leads to in sandboxes. Their data plane knows no credential, only each sandbox's
 * access token. So each sandbox notes which credentials were told its token, and when one of those is revoked:
 *
 *   1. nothing may begin with the sandbox (locks), and what goes on is of an earlier epoch
 *   2. http_server_end_relays cuts that: streams, terminals, tunnels, transfers
 *   3. envd is given another token, which nobody has been told; the owner's other credentials ask for it by connect
 *   4. it may be reached again
 *
 * Who is told the token notes that first and looks then whether he has been revoked; who revokes does so first and looks then who
 * has been told. An exchange reads the epoch first and the locks then; here it is the other way round. So nobody slips through.
 * A sandbox whose envd does not take another token is ended. One without a token keeps its ports open to whoever knows its id. */
#pragma once
#include "e2b-sandbox/app.h"

struct told revocation_told(const struct principal *who);

/* Notes that `who` is about to be told s's token. False: he has been revoked meanwhile, or it could not be noted. */
bool revocation_note_told(struct app *a, struct sandbox *s, const struct principal *who);

/* What was revoked; the fields that are not meant are zeros. */
struct revoked {
    struct digest credential;  /* a key or a token */
    char kid[JWT_KID_MAX + 1]; /* all tokens of that key */
    char user[OWNER_MAX + 1];  /* all tokens of that user */
};
/* Does all of the above; when it returns, it is done. After the credential was revoked in auth. -ENOMEM: nothing was done. */
int revocation_apply(struct app *a, const struct revoked *what);
