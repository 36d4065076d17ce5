/* SPDX-License-Identifier: Apache-2.0 */
/* watch_rpc: WatchDir and the polling variant of filesystem.Filesystem. */
#pragma once
#include "envd/loop.h"
#include "envd/rpc.h"

#define WATCHERS_MAX 128u

struct watch_table; /* the polling watchers; one lock inside */

int watch_table_new(struct watch_table **out,
                    struct loop *loop); /* borrows the loop; 0 or -ENOMEM */
void watch_table_free(struct watch_table *t);
/* Frees watchers that were removed: on the loop's thread only. */
void watch_table_tick(struct watch_table *t);

void watch_rpc_stream(struct rpc *r);
void watch_rpc_create(struct rpc *r);
void watch_rpc_events(struct rpc *r);
void watch_rpc_remove(struct rpc *r);
