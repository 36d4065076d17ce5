/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/audit: what the subcommands of `audit` share. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "audit/line.h"
#include "base/err.h"
#include "firebreak/place.h"
#include "record/files.h"

struct audit_options {
    struct place place;
    const char *dir; /* a record elsewhere, or NULL: STATE/audit */
    const char *public_key;
    uint64_t since_ns, until_ns; /* real time; 0 and UINT64_MAX: no limit */
    const char *type, *sandbox, *user, *agent, *address; /* NULL: any */
    uint64_t limit;
    bool json, follow;
    const char *out; /* export: where to */
    int dir_fd;
};

bool audit_matches(const struct audit_options *o, const struct audit_line *l); /* pure */
/* "7d", "24h", "30m", "90s" before now_ns, or RFC 3339. 0 or -EINVAL. Pure. */
int audit_parse_when(const char *text, uint64_t now_ns, uint64_t *out);

/* Each returns an exit status. */
int audit_verify(const struct audit_options *o);
int audit_query(const struct audit_options *o); /* and tail */
int audit_report(const struct audit_options *o);
int audit_export(const struct audit_options *o);

/* Is the whole record as it was written? Prints what it finds unless quiet. 1 yes, 0 no, -errno with *e. */
int audit_check(const struct audit_options *o, bool quiet, struct err *e);
