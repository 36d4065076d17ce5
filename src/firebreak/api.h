/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/api: this program as a client of the E2B API. Every answer is checked as if it came from a stranger. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "firebreak/place.h"
#include "http/client.h"

#define API_KEY_MAX        256u
#define API_ANSWER_MAX     (8u << 20) /* bytes of a JSON answer */
#define API_SANDBOX_ID_MAX 64u
#define API_TOKEN_MAX      512u

/* One base URL, taken apart. */
struct api_url {
    char text[512];
    char host[256];
    char prefix[256];
    char host_header[300]; /* "host:port", brackets around an IPv6 address */
    unsigned port;
};

struct api {
    struct api_url
        control;         /* E2B_API_URL, else RUN/api.url as `up` left it, else http://LISTEN */
    struct api_url data; /* E2B_SANDBOX_URL, else the same */
    char key[API_KEY_MAX]; /* E2B_API_KEY, else STATE/api.key; wiped by api_close */
    bool
        all_owners; /* calls about sandboxes are about those of all owners: set after api_open */
};

/* Finds URL and key. -errno with *e whose text says where a key was looked for. */
int api_open(struct api *a, const struct place *p, struct err *e);
void api_close(struct api *a);

struct api_answer {
    unsigned status;
    json_t *json;    /* owned; NULL if the body was empty */
    char next[1024]; /* X-Next-Token, or "" */
};
void api_answer_fini(struct api_answer *r);
#define AUTO_API_ANSWER __attribute__((cleanup(api_answer_fini)))

/* One call of the control plane; `body` may be NULL. 0 for any HTTP answer whose body is JSON or empty, whatever its status. */
int api_call(const struct api *a, const char *method, const char *target, const json_t *body,
             struct api_answer *r, struct err *e);
/* The same, and anything but a 2xx status is an error that quotes the answer's message. */
int api_expect(const struct api *a, const char *method, const char *target, const json_t *body,
               struct api_answer *r, struct err *e);
/* What a user can do about a failed call of the API, or NULL. */
const char *api_hint(const struct err *e);

/* A sandbox to talk to. */
struct api_sandbox {
    char id[API_SANDBOX_ID_MAX + 1];
    char token[API_TOKEN_MAX + 1]; /* "" if it needs none */
};
/* Is this an id as the wire spec has it ([a-z0-9], at most API_SANDBOX_ID_MAX)? */
bool api_is_sandbox_id(const char *id);
/* Opens a connection to the agent of a sandbox and sends one request; the response has not been read yet. `headers` are whole
 * lines with CRLF. 0 with *c initialised, or -errno with *e and *c untouched. */
int api_agent_send(const struct api *a, const struct api_sandbox *s, const char *method,
                   const char *target, const char *headers, struct str body,
                   struct http_client *c, struct err *e);
/* Reads the rest of a response as an error answer and says it in *e. Returns -EPROTO or a better -errno. */
int api_agent_error(struct http_client *c, const char *what, struct err *e);

/* Calls fn for each sandbox that is running or paused, page by page. fn returns 0 to go on. */
int api_each_sandbox(const struct api *a, int (*fn)(json_t *row, void *arg), void *arg,
                     struct err *e);
