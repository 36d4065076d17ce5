/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/fleet: the sandboxes that are alive, in memory. The registry holds the same on disk.
 *
 * A struct sandbox is counted: fleet_find and fleet_each give a reference, sandbox_put takes it back. The fleet holds one of its
 * own from fleet_add to fleet_remove. Locks, each taken only inside those above it:
 *   sandbox.change_lock   held across a change of the end or of the network, so that two changes do not mix; calls are made under it
 *   sandbox.monitor.lock  who may use the connection to its monitor (monitor.c)
 *   fleet.lock            which sandboxes there are
 *   sandbox.lock          the fields named below */
#pragma once
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "e2b-sandbox/audit_who.h"
#include "e2b-sandbox/list_query.h"
#include "e2b-sandbox/registry.h"
#include "ipc/warden_proto.h"

#define SAMPLES_MAX 120u /* of one sandbox: ten minutes at one every five seconds */

enum sandbox_state { SANDBOX_STARTING, SANDBOX_RUNNING, SANDBOX_STOPPING };

struct sample {
    uint64_t real_ns, boot_ns;
    uint64_t cpu_usec; /* used until then */
    uint64_t memory_bytes, memory_limit_bytes, disk_bytes, disk_limit_bytes;
};

/* Since its start; they never fall. */
struct sandbox_counts {
    uint64_t oom_kills; /* processes that its memory limit killed */
    uint64_t tripwires; /* forbidden system calls that were reported */
};

struct sandbox {
    /* Fixed once it is in the fleet, but for its token and who was told it: lock and change_lock. */
    struct sandbox_facts facts;
    char *metadata_text; /* JSON, owned */
    json_t *metadata;    /* the same parsed, owned; only read, so that threads may share it */

    atomic_uint refs;
    atomic_uint conns; /* exchanges with its ports that are going on */
    atomic_uint locks; /* > 0: none may begin, as its token is being changed */
    atomic_uint epoch; /* exchanges that began in an earlier one are over */

    pthread_mutex_t lock; /* around these: */
    enum sandbox_state state;
    uint64_t started_ns, end_ns; /* real time */
    uint64_t running_since_ns;   /* monotonic: when this program knew that it runs */
    uint32_t host_uid;           /* 0: not known yet */
    struct audit_who ender;      /* who asked for its end */
    struct sandbox_counts counts;
    uint64_t monitor_pid;
    struct sandbox_limits limits;      /* likewise */
    struct sample sample[SAMPLES_MAX]; /* a ring */
    unsigned n_samples, next_sample;

    pthread_mutex_t change_lock;
    struct {
        struct network_wish wish; /* changed under change_lock and lock */
        bool is_attached;         /* netd has been told of it; changed under change_lock */
        bool trusts;              /* lock: it has the certificate of its authority */
    } network;

    struct {
        pthread_mutex_t lock;
        pthread_cond_t idle;
        bool is_busy;           /* lock: somebody is calling, and has the rest meanwhile */
        unsigned waiters;       /* lock */
        uint64_t busy_since_ns; /* lock: monotonic */
        int fd;                 /* -1: not open */
        uint64_t next_id;
    } monitor;
};

/* Returns owned, with one reference; NULL if out of memory or the metadata is no JSON object. */
struct sandbox *sandbox_new(const struct sandbox_facts *f, const char *metadata_text);
struct sandbox *sandbox_ref(struct sandbox *s);
void sandbox_put(struct sandbox *s); /* NULL is fine */
static inline void sandbox_auto_put_(struct sandbox **s)
{
    sandbox_put(*s);
}
#define AUTO_SANDBOX __attribute__((cleanup(sandbox_auto_put_)))

/* What changes, copied under the lock. */
struct sandbox_now {
    enum sandbox_state state;
    uint64_t started_ns, end_ns, running_since_ns, monitor_pid;
    uint32_t host_uid;
    struct sandbox_limits limits;
    struct audit_who ender;
};
struct sandbox_now sandbox_look(struct sandbox *s);
void sandbox_set_ender(struct sandbox *s, const struct audit_who *who);
/* A copy of its token; the caller wipes it. */
void sandbox_token(struct sandbox *s, char out[SANDBOX_TOKEN_MAX + 1]);
/* Under change_lock. */
void sandbox_set_token(struct sandbox *s, const char *token);
void sandbox_set_told(struct sandbox *s, const struct told *told, uint32_t n);
void sandbox_set_end(struct sandbox *s, uint64_t end_ns);
/* What a row of WARDEN_LIST or an answer to WARDEN_SPAWN tells. */
void sandbox_set_host(struct sandbox *s, const struct warden_msg *m);
void sandbox_add_sample(struct sandbox *s, const struct sample *one);
/* Memory of the newest sample; false if there is none. */
bool sandbox_newest(struct sandbox *s, uint64_t *memory_bytes);
/* Takes over what is larger than what is known. */
void sandbox_add_counts(struct sandbox *s, uint64_t oom_kills, uint64_t tripwires);
struct sandbox_counts sandbox_counts(struct sandbox *s);
/* Copies the samples, oldest first, into out, which has room for SAMPLES_MAX. */
size_t sandbox_samples(struct sandbox *s, struct sample *out);

struct fleet;
struct fleet *fleet_new(void);
void fleet_free(struct fleet *f); /* and its references */

/* Puts it in as 'starting', unless `max` are in already (-ENOSPC) or its id is (-EEXIST). */
int fleet_add(struct fleet *f, struct sandbox *s, uint32_t max);
/* Makes it 'running' and gives it its start: now, but later than any start before, so that a list in ascending order never grows
 * in its middle. False if it is not in the fleet any more. */
bool fleet_start(struct fleet *f, struct sandbox *s, uint64_t real_ns, uint64_t mono_ns);
/* Puts one in that runs since before this program started. False if there is no room. */
bool fleet_adopt(struct fleet *f, struct sandbox *s, uint64_t started_ns, uint64_t end_ns);
/* running -> stopping; false if it is in another state. */
bool fleet_stop(struct fleet *f, struct sandbox *s);
/* stopping -> running, after a kill that failed. */
void fleet_unstop(struct fleet *f, struct sandbox *s);
/* Takes it out. True for the one caller that did so. */
bool fleet_remove(struct fleet *f, struct sandbox *s);

/* The sandbox of that id if it is running; NULL otherwise. Returns a reference. */
struct sandbox *fleet_find(struct fleet *f, struct str id);
/* The same in any state. */
struct sandbox *fleet_find_any(struct fleet *f, const struct sandbox_id *id);
/* References to all in any state, in no order. Returns how many; out has room for WARDEN_MAX_SANDBOXES. */
size_t fleet_all(struct fleet *f, struct sandbox **out);
/* How many are in each state (indexed by enum sandbox_state). */
void fleet_count(struct fleet *f, unsigned count[3]);
