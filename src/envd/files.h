/* SPDX-License-Identifier: Apache-2.0 */
/* files: the endpoints of file contents (spec 3.4): GET and POST /files, POST /files/compose. The access has been checked. */
#pragma once
#include "envd/app.h"
#include "envd/users.h"
#include "http/server.h"

void files_download(struct app *a, struct http_conn *c);
void files_upload(struct app *a, struct http_conn *c);
void files_compose(struct app *a, struct http_conn *c);

/* --- shared by the three --- */

/* The user that is named (or, if empty, the default one). 0, or -ENOENT after a 401. */
int files_user(struct app *a, struct http_conn *c, struct str name, struct user *out);
/* The meaning of a path for that user. 0, or -errno after a 400. */
int files_resolve(struct app *a, struct http_conn *c, struct str path, const struct user *who,
                  char *out);
/* Answers for an errno of a write: 507 without space, 400 for what the path is to blame for, 403, else 500. */
void files_fail(struct http_conn *c, int code, const char *path);

#define FILES_RESULT_MAX                                                                       \
    (8u << 20) /* bytes of the answer to an upload: limits the files of one request */
/* Appends {"path":...,"name":...,"type":"file","metadata"?:{...}}. */
void files_result(const char *path, json_t *metadata, struct buf *out);
/* Opens a file to be written from its start, making its directories; it belongs to `who`. Returns the fd or -errno; *made says
 * that it was not there before. Never waits on a FIFO, never writes to what is no regular file (-EINVAL), -EISDIR. */
int files_create(const char *path, const struct user *who, bool *made);
