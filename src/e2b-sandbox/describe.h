/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/describe: sandboxes and templates as the JSON of answers (e2b-wire 2.4). */
#pragma once
#include "base/buf.h"
#include "e2b-sandbox/app.h"
#include "store/template.h"

/* Sandbox: the answer of create and connect. */
void describe_sandbox(const struct app *a, struct sandbox *s, struct buf *out);
/* ListedSandbox. */
void describe_listed(struct sandbox *s, struct buf *out);
/* SandboxDetail, with a report of how it is isolated; asks the monitor and the kernel for that. */
void describe_detail(struct app *a, struct sandbox *s, struct buf *out);
/* SandboxMetric, from a sample and the one before it. */
void describe_metric(const struct sandbox *s, const struct sample *before,
                     const struct sample *at, struct buf *out);
/* Template. */
void describe_template(const struct template *t, const struct template_use *use,
                       struct buf *out);
