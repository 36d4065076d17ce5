/* SPDX-License-Identifier: Apache-2.0 */
/* process_rpc: the methods of process.Process (spec 3.6). */
#pragma once
#include "base/buf.h"
#include "envd/rpc.h"

/* NULL if there is no such method. */
const struct rpc_method *process_rpc_find(struct str path);

/* "exit status 3", "signal: killed", "signal: aborted (core dumped)": as Go's os.ProcessState says it. */
#define PROCESS_STATUS_MAX 64
void process_status_text(int wait_status, char out[PROCESS_STATUS_MAX]);
/* Appends {"event":{"end":{...}}}. */
void process_end_event(int wait_status, struct buf *out);

/* The environment of a program as {"NAME":"value"}: ours, the user's, the sandbox's, the call's, later ones win. Owned by the
 * caller; NULL when out of memory. `call` may be NULL. */
json_t *process_environment(struct app *a, const struct user *who, json_t *call);
/* As NULL-terminated "NAME=value" strings; free with process_free_strings. NULL when out of memory. */
char **process_env_strings(json_t *env);
void process_free_strings(char **list);
