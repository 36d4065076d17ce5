/* SPDX-License-Identifier: Apache-2.0 */
/* filesystem_rpc: the methods of filesystem.Filesystem (spec 3.7). They run as root of the sandbox, whoever the caller is; what they
 * make belongs to the caller's user. */
#pragma once
#include "envd/rpc.h"

/* NULL if there is no such method. */
const struct rpc_method *filesystem_rpc_find(struct str path);

/* Reads the string field and resolves it for the user. 0, or -1 after the call has been failed. */
int filesystem_path(struct rpc *r, const char *field, const struct user *who, char *out);
