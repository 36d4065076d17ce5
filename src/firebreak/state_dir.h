/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/state_dir: the directories and files that `up` makes before anything runs, with owners and modes checked. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "firebreak/place.h"

#define API_KEY_TEXT_MAX 64u

/* STATE, STATE/templates, RUN (root 0755) and STATE/db (api_uid 0700). -errno with *e: also if one exists and is not root's alone. */
int state_dir_prepare(const struct place *p, uid_t api_uid, struct err *e);
/* The API key in STATE/api.key (root 0600), made at the first call. `key` is a NUL-terminated secret of the caller. */
int state_dir_api_key(const struct place *p, char key[API_KEY_TEXT_MAX], struct err *e);
/* Takes RUN/up.pid for this process: an fd that holds the lock, or -EBUSY with *e naming the process that has it. */
int state_dir_lock(const struct place *p, struct err *e);
/* Writes RUN/api.url, by which the other commands find a running instance. */
int state_dir_write_url(const struct place *p, const char *url, struct err *e);
void state_dir_remove_url(const struct place *p);
/* Does the warden have records of sandboxes in RUN/sb? */
bool state_dir_has_records(const struct place *p);
/* After everything has stopped: takes away what `up` and its children left in RUN, and RUN itself if it is empty then. */
/* Removes the directories that state_dir_prepare makes, as far as they are empty: after a start that came to nothing. */
void state_dir_forget_empty(const struct place *p);
void state_dir_clean_run(const struct place *p);
