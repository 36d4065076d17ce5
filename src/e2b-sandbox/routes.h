/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/routes: the control plane. One table says which method and path goes where; each row's handler answers. */
#pragma once
#include "e2b-sandbox/app.h"

#define ROUTE_PARAMS    2u
#define ROUTE_PARAM_MAX 127u /* bytes of a path segment, decoded */

struct request {
    struct http_conn *c;
    struct app *a;
    struct principal who;                          /* zeros where no credential is needed */
    char param[ROUTE_PARAMS][ROUTE_PARAM_MAX + 1]; /* the segments that stand for {} */
};

/* Answers a request that is for no sandbox: key, path, method, handler. */
void routes_handle(struct http_conn *c, struct app *a);
/* What a request is for, for metrics: by method and path, without looking at what they name. */
enum route_class routes_class(const struct http1_head *head);
/* Is it one of those that must get through when all threads are busy? */
bool routes_is_urgent(const struct http1_head *head);

/* Has `owners=all` been asked for, by somebody who may? 1, 0 (only the asker's own), or -1 after an answer. */
int routes_all_owners(struct request *r);
/* Reads the whole body into `out`, which has its own limit. False after an answer. */
bool routes_read_body(struct request *r, struct buf *out);
/* Is the capability lacking? Then true after a 403. */
bool routes_lacks(struct request *r, enum cap one);

/* --- the handlers, by file --- */

/* routes_sandbox.c */
void route_create_v1(struct request *r);
void route_create_v2(struct request *r);
void route_get(struct request *r);
void route_kill(struct request *r);
void route_timeout(struct request *r);
void route_refresh(struct request *r);
void route_connect_v1(struct request *r);
void route_connect_v2(struct request *r);
void route_network(struct request *r);
void route_sandbox_metrics(struct request *r);
/* routes_list.c */
void route_list_v1(struct request *r);
void route_list_v2(struct request *r);
void route_templates(struct request *r);
void route_template_alias(struct request *r);
/* routes_admin.c */
void route_admin_keys(struct request *r);
void route_admin_issue_key(struct request *r);
void route_admin_revoke_key(struct request *r);
void route_admin_token_keys(struct request *r);
void route_admin_add_token_key(struct request *r);
void route_admin_remove_token_key(struct request *r);
void route_admin_tokens(struct request *r);
void route_admin_register_token(struct request *r);
void route_admin_verify_token(struct request *r);
void route_admin_revoke_token(struct request *r);
/* routes_service.c */
void route_health(struct request *r);
void route_healthz(struct request *r);
void route_metrics(struct request *r);
void route_not_yet(struct request *r);
