/* SPDX-License-Identifier: Apache-2.0 */
/* rpc: one call of the Connect protocol in JSON (spec 3.5): what a method needs to read its request, say who asks, answer once
 * (unary) or send a stream of messages, and fail with a code. Each call lives on the stack of its handler thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/connect.h"
#include "envd/users.h"
#include "http/server.h"

#define RPC_BODY_MAX (4u << 20)

struct app;

struct rpc {
    struct http_conn *conn;
    struct app *app;
    const json_t *req; /* the request message: an object */
    bool is_stream;
    bool began;            /* stream: the head of the answer is out */
    bool done;             /* answered, or the end frame is out, or the client is gone */
    uint64_t deadline_ns;  /* CLOCK_MONOTONIC; 0 = none. From Connect-Timeout-Ms */
    uint64_t keepalive_ns; /* between messages, > 0 */
};

struct rpc_method {
    const char *path; /* "/process.Process/Start" */
    bool is_stream;
    void (*run)(struct rpc *r);
};

/* Serves the request with `m`: checks verb and content type, reads the body, runs the method, and sees that it was answered. */
void rpc_serve(struct http_conn *c, struct app *app, const struct rpc_method *m);

/* The user named by Basic authorization, or the default one, with home and groups. 0, or -ENOENT after the call has been failed
 * with unauthenticated. Loads the user files into *files (the caller's to release). */
int rpc_user(struct rpc *r, struct users *files, struct user *out);

/* Ends the call with an error. Always returns -1, so that `return rpc_fail(...)` is one statement in helpers. */
int rpc_fail(struct rpc *r, enum connect_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an error of errno: ENOENT not_found, EEXIST already_exists, EACCES/EPERM permission_denied, ENOSPC/EDQUOT/EMFILE
 * resource_exhausted, EINVAL/ENAMETOOLONG/ENOTDIR invalid_argument, ELOOP failed_precondition, else internal. */
int rpc_fail_errno(struct rpc *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Refuses a request whose field is wrong: invalid_argument with e->text. */
int rpc_fail_field(struct rpc *r, const struct err *e);

/* Unary: the answer. A body that has failed (too big) becomes resource_exhausted. */
void rpc_reply(struct rpc *r, const struct buf *json);

/* Stream: sends messages (already in envelopes) at once. 0, or -errno when the client is gone: then stop. */
int rpc_send(struct rpc *r, const struct buf *envelopes);
/* Appends one message to `out` in its envelope; `json` is the message. */
void rpc_envelope(struct buf *out, struct str json);
/* The end of a stream without error, behind a last message (of at most 32 KiB) unless it is empty. */
void rpc_end(struct rpc *r, struct str last);
/* Waits for fd (readable: 1), the next keepalive or deadline of the stream (0) or the client's going (-EPIPE). */
int rpc_wait(struct rpc *r, int fd, uint64_t until_ns);
bool rpc_deadline_passed(const struct rpc *r, uint64_t now_ns);
