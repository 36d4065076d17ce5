/* SPDX-License-Identifier: Apache-2.0 */
/* audit_events: every event of the record: its name in C, its name in a line, how many days it is kept, and whether it is of the security
 * class, which is never dropped for want of room. The six of the hardening guide come first, with the guide's retention. */
// clang-format off
X(SANDBOX_CREATED,    "sandbox.created",     90, 1)
X(SANDBOX_EXECUTED,   "sandbox.executed",    90, 1) /* an execution is over; duration_ms is ours, nothing is the guest's word */
X(SANDBOX_TERMINATED, "sandbox.terminated",  90, 1) /* reason: the cause */
X(SANDBOX_FAILED,     "sandbox.failed",     365, 1) /* did not start, could not be reached, or ended by oom, a lost monitor, a lost agent */
X(DESKTOP_ACCESSED,   "desktop.accessed",    90, 1)
X(SURF_STARTED,       "surf.started",        30, 1)
X(SANDBOX_REFUSED,    "sandbox.refused",     90, 1) /* reason: capacity, memory, audit */
X(SANDBOX_PROLONGED,  "sandbox.prolonged",   90, 1)
X(SANDBOX_PAUSED,     "sandbox.paused",      90, 1)
X(SANDBOX_RESUMED,    "sandbox.resumed",     90, 1)
X(SANDBOX_ADOPTED,    "sandbox.adopted",     90, 1) /* found alive after a restart */
X(EXECUTION_STARTED,  "execution.started",   90, 1)
X(FILE_READ,          "file.read",           30, 0) /* never a path */
X(FILE_WRITTEN,       "file.written",        30, 0)
X(AUTH_FAILED,        "auth.failed",         90, 1)
X(AUTH_THROTTLED,     "auth.throttled",      90, 0)
X(NETWORK_CHANGED,    "network.changed",     90, 1)
X(EGRESS_DENIED,      "egress.denied",       90, 0) /* reason: why, protocol, address, port */
X(DAEMON_STARTED,     "daemon.started",      90, 1) /* reason: which */
X(DAEMON_STOPPED,     "daemon.stopped",      90, 1)
X(CONFIG_LOADED,      "config.loaded",      365, 1)
X(ADMIN_CHANGED,      "admin.changed",      365, 1) /* keys, tokens, templates: reason says what */
X(SECRET_CHANGED,     "secret.changed",     365, 1) /* reason: the verb and the variable */
X(WATCHER_FINDING,    "watcher.finding",    365, 1)
X(RECORD_DROPPED,     "integrity.dropped",  365, 1) /* reason: how many of which */
X(RECORD_RECOVERED,   "integrity.recovered",365, 1) /* a torn end was cut off; reason says how much */
X(RECORD_PURGED,      "integrity.purged",   365, 1) /* a file whose time was over */
