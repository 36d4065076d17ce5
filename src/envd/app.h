/* SPDX-License-Identifier: Apache-2.0 */
/* app: the state of envd, made by main and passed down. */
#pragma once
#include <stdbool.h>

#include "envd/loop.h"
#include "envd/proc.h"
#include "envd/settings.h"
#include "envd/warm.h"
#include "envd/watch_rpc.h"
#include "http/server.h"

struct app {
    struct settings settings;
    struct loop loop;
    struct proc_table *procs;
    struct watch_table *watches;
    struct warm *warm;
    struct sudo *sudo;
    bool is_root;        /* we may become other users */
    const char *run_dir; /* where sudo.sock and the .E2B_ files are */
    const char *
        path_env; /* our PATH: what programs get unless the sandbox's environment says otherwise */
};

/* Serves one request: routes by path, checks the access token, answers. On a handler thread. */
void app_serve(struct http_conn *c, void *app);
/* Health checks and kills get through when all ordinary threads are busy. */
bool app_is_urgent(const struct http1_head *head, void *app);
/* The .E2B_ files that tell programs where they run. Failures are ignored: nothing depends on them. */
void app_write_identity(struct app *a);
