/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/place: which instance is meant, and where it keeps its state and run-time files.
 * Options win over FIREBREAK_INSTANCE, FIREBREAK_STATE, FIREBREAK_RUN and FIREBREAK_LISTEN, and those over the defaults. */
#pragma once
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PLACE_PATH_MAX     200u
#define PLACE_RUN_MAX      80u /* RUN/sb/NNN.sock must fit into the 108 bytes of a socket address */
#define PLACE_INSTANCE_MAX 32u
#define PLACE_LISTEN_MAX   64u
#define MAX_SANDBOXES      4096u /* rows of the warden's table */
#define MAX_SANDBOXES_NAMED                                                                    \
    512u /* of an instance with a name of its own, unless it is told its uids */

struct place {
    char instance[PLACE_INSTANCE_MAX + 1];
    char state[PLACE_PATH_MAX + 1];    /* absolute */
    char run[PLACE_RUN_MAX + 1];       /* absolute */
    char listen[PLACE_LISTEN_MAX + 1]; /* "127.0.0.1:7070" */
    char *option[4];                   /* private: borrowed values of the options below */
};

enum { PLACE_INSTANCE = 0x1000, PLACE_STATE, PLACE_RUN, PLACE_LISTEN };
#define PLACE_OPTIONS                                                                          \
    { "instance", required_argument, NULL, PLACE_INSTANCE },                                   \
        { "state", required_argument, NULL, PLACE_STATE },                                     \
    {                                                                                          \
        "run", required_argument, NULL, PLACE_RUN                                              \
    }
#define PLACE_HELP                                                                             \
    "  --instance NAME   which instance (default: $FIREBREAK_INSTANCE or \"default\")\n"       \
    "  --state DIR       its state (default: $FIREBREAK_STATE or /var/lib/firebreak[-NAME])\n" \
    "  --run DIR         its run-time files (default: $FIREBREAK_RUN or "                      \
    "/run/firebreak[-NAME])\n"

/* Takes note of an option above; false if `o` is none of them. `value` is borrowed until place_resolve. */
bool place_option(struct place *p, int o, char *value);
/* Fills in the rest. -EINVAL with *e if a value cannot be used. */
int place_resolve(struct place *p, struct err *e);

/* Where an instance's host uids begin unless --uid-base says it. */
uint64_t place_uid_base(const char *instance);
