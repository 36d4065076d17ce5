/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/config: the command line. Everything is borrowed from argv. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "e2b-sandbox/routing.h"

struct config {
    const char *state_dir, *run_dir;
    char address[64];   /* to listen on, without brackets */
    uint16_t port;      /* 0: any free one */
    const char *domain; /* told to clients, or NULL */
    struct routing_hosts hosts;
    uid_t uid;     /* to become when started as root */
    int key_fd;    /* with the bootstrap key, or -1 */
    int listen_fd; /* a listening socket to serve on, or -1 */
    uint32_t max_sandboxes, max_timeout_s, pids, conns_per_sandbox;
    uint32_t pool_max, pool_memory_mb; /* sandboxes held ready; 0: none */
    bool warm_python;                  /* in those an interpreter waits for the first program */
    bool internet;                     /* sandboxes may have a network */
    bool record;                       /* nothing begins that cannot be recorded */
    enum log_level log_level;
};

#define POOL_ENTRIES_MAX 256u

enum config_result { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_BAD };
enum config_result config_parse(struct config *c, int argc, char **argv, struct err *e);
extern const char config_usage[];
