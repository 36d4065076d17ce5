/* SPDX-License-Identifier: Apache-2.0 */
/* warm: one interpreter that has started and waits, so that a program in it begins at once (docs/adr/0031).
 *
 * It is an ordinary child: executed by us, as the user who will use it, with a hash seed, an address space and a session of its own. It gets one
 * program and ends with it. Whoever could have noticed a difference gets a fresh interpreter instead: it is used only if since its start
 * no other process was started and no file was written that an interpreter reads at its start, and only for requests whose
 * environment agrees with its own in all that counts at a start.
 *
 * Threads: warm_tick on the loop's thread, the others on any. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "envd/loop.h"
#include "envd/proc.h"
#include "envd/spawn.h"

#define WARM_IDLE_NS (60 * UINT64_C(1000000000)) /* in use, and not used for so long: it goes */
#define WARM_REST_NS                                                                           \
    UINT64_C(1000000000) /* between the last process and the next interpreter */
#define WARM_LOOK_NS     (UINT64_C(1000000000) / 2)
#define WARM_REQUEST_MAX 61440u /* bytes of all arguments and variables: one message */

struct warm;

/* Borrows both. */
int warm_new(struct warm **out, struct proc_table *procs, struct loop *loop);

/* From now on there is to be one, started as that user with that environment ("NAME=value" strings; both are taken over). */
void warm_arm(struct warm *w, const struct user *user, char **envp);
/* The sandbox has become somebody's: idleness counts from here. */
void warm_begin(struct warm *w);
/* Something happens that a starting interpreter might notice: there is none any more, for a while. */
void warm_dirty(struct warm *w);
/* The same if a file of that path could matter. */
void warm_dirty_path(struct warm *w, const char *path);
/* Starts one or ends one, if it is time. Returns when it wants to be called again. */
uint64_t warm_tick(struct warm *w, uint64_t now_ns);

/* The interpreter, if it can stand for this start (whose stdin is /dev/null): true with *out, which is proc_start's then. */
bool warm_take(struct warm *w, const struct spawn *run, struct proc_ready *out);

/* --- pure parts --- */

/* Is this command line one that the waiting interpreter runs as a starting one would: -c TEXT ... or a FILE that is no option? */
bool warm_takes_args(char *const *argv);
/* Do two environments agree in all that a start of the interpreter, the C library or the loader looks at? */
bool warm_same_start(char *const *a, char *const *b);
/* Could a file of that (clean, absolute) path be read by a starting interpreter of that home directory's owner? */
bool warm_path_counts(const char *path, const char *home);
