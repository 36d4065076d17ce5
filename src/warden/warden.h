/* SPDX-License-Identifier: Apache-2.0 */
/* warden: the whole state of the privileged process. One struct app, made in main.c and passed
 * down; a fixed table, so that nothing is allocated after the start. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/jailmon_proto.h"
#include "ipc/warden_proto.h"
#include "sys/cgroup.h"

#define RECORD_VERSION    1u /* of a record on disk, which an upgrade must be able to read */
#define UIDS_PER_SANDBOX  65536u
#define MAX_CLIENTS       4u  /* the API, the one that replaces it, and test programs */
#define MAX_IMAGES        64u /* template images mounted at once */
#define MAX_KILL_WAITERS  4u
#define START_LIMIT_NS    (10 * NS_PER_S)
#define INSTANCE_NAME_MAX 32u

struct options {
    const char *instance, *state_dir, *run_dir, *jailmon_path, *envd_path;
    uint32_t api_uid, uid_base, max_sandboxes;
    uint32_t total_memory_mib, total_pids; /* of all sandboxes together; 0: no cap */
    uint32_t reserve_memory_mib;           /* of the host, to stay available */
    bool stop_all;
};

enum slot_state {
    SLOT_FREE,
    SLOT_STARTING, /* jailmon is building; SPAWN is not answered yet */
    SLOT_RUNNING,
    SLOT_DYING /* killed; its cgroup is not empty yet */
};

/* Who waits for an answer about a slot. */
struct waiter {
    uint32_t client;     /* index */
    uint32_t generation; /* of that client: a later one in the same place is somebody else */
    uint64_t request_id;
};

/* What survives a restart of the warden: RUN/sb/<slot>.rec. */
struct record {
    uint32_t version;
    uint32_t slot;
    struct sandbox_id id;
    struct image_digest image;
    struct sandbox_limits limits;
    uint64_t deadline_ns;
    struct sandbox_policy policy;
};

struct slot {
    enum slot_state state;
    struct record rec;
    pid_t monitor_pid;
    int monitor_pidfd; /* owned, -1 if none */
    int ctl_fd;        /* to jailmon, owned; -1 when re-adopted */
    int watch_fd;      /* a MONITOR_WATCH of one that was re-adopted, owned; else -1 */
    bool exited;       /* the monitor is gone */
    bool adopted; /* from an earlier warden: not our child, and it has nobody to report to */
    enum sandbox_cause cause;
    uint64_t tripwires, oom_kills; /* as its monitor and its group said at the end */
    enum sandbox_step failed_step;
    int failed_errno;
    uint64_t since_ns; /* of the present state, CLOCK_MONOTONIC */
    bool has_spawner;
    struct waiter spawner;
    struct waiter killer[MAX_KILL_WAITERS];
    uint32_t n_killers;
};

struct client {
    int fd; /* -1 if none */
    uint32_t generation;
    bool greeted;
};

struct image {
    bool used;
    struct image_digest digest;
    int fd; /* O_PATH of the mount's root, owned */
};

struct app {
    struct options opt;
    struct cgroup_host cgroup;
    int epoll_fd, listen_fd, signal_fd;
    int sb_fd;        /* RUN/sb */
    int templates_fd; /* STATE/templates */
    int layers_fd;    /* STATE/layers */
    int images_fd;    /* RUN/mnt in our own mount namespace */
    int jailmon_fd;   /* the program to execute */
    int agent_fd;     /* envd */
    int null_fd;
    int home_ns_fd;  /* our own mount namespace */
    int stage_ns_fd; /* that of the monitors */
    int claim_fd;    /* held locked */
    struct client client[MAX_CLIENTS];
    struct image image[MAX_IMAGES];
    struct slot slot[WARDEN_MAX_SANDBOXES];
    uint32_t n_slots; /* from here on all are free: what loops over slots ends here */
    bool stopping;
    bool makes_layers;  /* this kernel needs layer.c */
    char oom_score[16]; /* our own, which monitors have after init exists */
};

#define MEMORY_RESERVATION_BYTES (UINT64_C(512) << 20) /* R64 */

/* admit.c */
uint64_t reservation_of(const struct sandbox_limits *l);
/* 0; -EDQUOT: the instance's cap is reached; -ENOMEM: the host has too little memory left. */
int admit(const struct app *a, const struct sandbox_limits *l);

/* table.c */
struct slot *table_find(struct app *a, const struct sandbox_id *id);
struct slot *table_take(struct app *a); /* a free slot, or NULL */
uint32_t table_count(const struct app *a);
void table_shrink(struct app *a); /* lowers n_slots to what is in use */
uint32_t table_index(const struct app *a, const struct slot *s);
uint32_t table_uid(const struct app *a, const struct slot *s); /* first host uid */
int record_write(struct app *a,
                 const struct slot *s); /* durable before anything of the sandbox exists */
void record_remove(struct app *a, const struct slot *s);
void socket_name(const struct app *a, const struct slot *s,
                 char out[64]); /* of the monitor, reachable through /proc/self/fd */
int monitor_connect(const struct app *a, const struct slot *s,
                    struct ucred *who); /* an fd, or -errno; *who listens */
void table_adopt(
    struct app *a); /* at start: takes over what lives, destroys what is left over */

/* image.c */
int images_prepare(struct app *a, struct err *e); /* own mount namespace */
int image_clone(struct app *a, const struct image_digest *digest,
                int userns_fd);               /* detached id-mapped mount, or -errno */
int agent_load(struct app *a, struct err *e); /* after images_prepare: opens agent_fd */
int agent_clone(struct app *a);               /* detached read-only mount of envd, or -errno */

/* stage.c: the mount namespace of the monitors */
int stage_make(struct app *a, struct err *e); /* after images_prepare */
int stage_enter(const struct app *a); /* what is cloned now is born in it; 0 or -errno */
void stage_leave(const struct app *a);

/* claim.c: who has which host uids on this machine */
int claim_uids(struct app *a, struct err *e);
int claim_check_processes(const struct app *a, struct err *e); /* after table_adopt */
void claim_drop(struct app *a);                                /* at an orderly end */

/* A loop device of that file, which must stay open until it is mounted; its path in source. */
int loop_open(int file_fd, bool writable, char source[32]);

/* disk.c */
int disk_make(struct app *a, const struct slot *s,
              int userns_fd); /* detached id-mapped mount with upper and work, or -errno */

/* layer.c */
bool layer_needed(void); /* tmpfs has no user xattrs here */
int layer_make(struct app *a, const struct slot *s, int lower_fd,
               int *layer_fd); /* detached root mount, or -errno; both fds owned */

/* spawn.c */
/* Of every process of a sandbox, at the least: when the host itself runs out of memory, sandboxes go before its own programs
 * and the monitors. envd puts its children at 500. */
#define SANDBOX_OOM_SCORE "250"
/* oom_score_adj of the monitor and, if we have CAP_SYS_RESOURCE, the least that what it clones from now on can set. */
int spawn_set_oom_score(const struct slot *s, const char *score);
int spawn_start(struct app *a, struct slot *s, enum sandbox_step *step);
void slot_kill(struct app *a, struct slot *s, enum sandbox_cause cause);
bool slot_reap(struct app *a,
               struct slot *s); /* true when nothing of it is left and the slot is free again */

/* serve.c */
int serve_prepare(struct app *a, struct err *e);
void serve_run(struct app *a);
void serve_watch_slot(struct app *a, struct slot *s);
void serve_tell_exit(struct app *a, struct slot *s);
