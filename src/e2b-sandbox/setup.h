/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/setup: what is opened before privileges go. */
#pragma once
#include "e2b-sandbox/config.h"

/* Raises the limit of open files to what the server may need. */
int setup_limits(struct err *e);
/* A listening TCP socket; *port says which port it got. */
int setup_listener(const struct config *c, int *listen_fd, uint16_t *port, struct err *e);
/* Makes STATE/db for the user that we are about to become, if it is not there. */
int setup_db_dir(const struct config *c, struct err *e);
/* One process a STATE/db: -EBUSY if another has it and does not let go within ten seconds. The lock goes with the descriptor, which the caller keeps. After setup_db_dir,
 * as the user whose directory it is. */
int setup_lock(const struct config *c, int *lock_fd, struct err *e);
/* Reads the first line of the descriptor, which must be 8 to 256 printable characters, into key and closes it. */
#define SETUP_KEY_MAX 257u
int setup_read_key(int fd, char key[SETUP_KEY_MAX], struct err *e);
