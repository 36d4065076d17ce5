/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/doctor: facts about this machine, each with its evidence. A check looks, tries harmlessly in a child process, and changes nothing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "firebreak/place.h"

enum check_status {
    CHECK_PASS,
    CHECK_WARN, /* sandboxes run, but less well or with less depth */
    CHECK_FAIL  /* a sandbox cannot run here */
};

#define CHECKS_MAX 64u

struct check {
    enum check_status status;
    const char *id;     /* stable, snake_case */
    char evidence[240]; /* what was seen */
    char hint[200];     /* what to do; "" if nothing */
};

struct doctor {
    struct place place;
    struct check check[CHECKS_MAX];
    size_t n;
    const char *isolation; /* "jail" or "none" */
    char isolation_why[240];
};

/* Adds a line; `hint` may be NULL. */
void doctor_add(struct doctor *d, enum check_status status, const char *id, const char *hint,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* First line of a small kernel file, without its newline; false (and out empty) if it cannot be read. */
bool doctor_read(const char *path, char *out, size_t cap);

/* The running kernel as major * 1000 + minor: 6012 for 6.12.3. 0 if it cannot be told. */
unsigned doctor_release(void);

void doctor_kernel(struct doctor *d);   /* doctor_kernel.c: what the kernel can do */
void doctor_cgroup(struct doctor *d);   /* doctor_cgroup.c: which limits are enforceable */
void doctor_capacity(struct doctor *d); /* doctor_capacity.c: for how many there is room */
void doctor_host(
    struct doctor
        *d); /* doctor_host.c: KVM, settings, this installation; chooses the isolation */
