/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/app: the whole program. One of it, made in main.c and passed down; fixed once requests are served. */
#pragma once
#include "e2b-sandbox/auth.h"
#include "e2b-sandbox/config.h"
#include "e2b-sandbox/fleet.h"
#include "e2b-sandbox/metrics.h"
#include "e2b-sandbox/registry.h"
#include "e2b-sandbox/warden_client.h"
#include "http/server.h"

struct pool;
struct netd_client;
struct reconciler;
struct recorder;

struct app {
    struct config config;
    uint64_t start_real_ns, start_mono_ns;
    int templates_fd;
    int lock_fd; /* of the data base, held until the process ends */
    struct registry *registry;
    struct fleet *fleet;
    struct warden *warden;
    struct netd_client *netd;  /* NULL: sandboxes have no network */
    struct recorder *recorder; /* NULL: nothing is recorded (--record off) */
    struct auth *auth;
    _Atomic(struct reconciler *)
        reconciler;              /* the warden's thread may look before it is there */
    _Atomic(struct pool *) pool; /* NULL before it starts and where there is none */
    struct metrics metrics;
    _Atomic(struct http_server *) server; /* a request may come before main has it */
};

#define APP_CLIENT_ID "firebreak"
#define APP_ENVD_VERSION                                                                       \
    "0.6.13" /* what envd answers to; clients turn features on and off by it (e2b-wire 3.1) */
