/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/credentials: what the commands key and token share. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"

/* "90", "15m", "12h", "90d" in seconds. 0 or -EINVAL. */
int credentials_parse_span(const char *text, uint64_t *seconds);

/* place_resolve and api_open. */
int credentials_open(struct api *api, struct place *p, struct err *e);

/* The text of a field, or "-". Borrows. */
const char *credentials_text(const json_t *row, const char *field);
void credentials_cell(const char *text, int width);
void credentials_print_caps(const json_t *row); /* and the line's end */
void credentials_print_json(const json_t *j);

/* "NAME list [--json]": GET target, an array, as rows below `heading`. */
int credentials_list(const struct cli_command *c, int argc, char **argv, const char *target,
                     const char *heading, void (*print_row)(const json_t *row),
                     const char *nothing);
/* "NAME verb ID": DELETE prefix + ID. `what` says what an ID is, `done` what has been done to it. */
int credentials_delete(const struct cli_command *c, int argc, char **argv, const char *prefix,
                       const char *what, const char *done);
/* argv[1] is none of the commands: help, or wrong usage. */
int credentials_no_command(const struct cli_command *c, int argc, char **argv,
                           const char *commands);

/* A secret from a file, or from standard input if path is "-": at most max bytes, without the end of its last line. -errno with *e. The caller
 * wipes it. */
int credentials_read(const char *path, size_t max, struct buf *out, struct err *e);
