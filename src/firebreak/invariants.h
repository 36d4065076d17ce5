/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/invariants: what must be true of an instance at any moment, checked from outside. A look reads /proc, /sys, the
 * records of the warden and the registry, changes nothing and asks no daemon: a daemon that is wrong cannot talk itself right.
 * The rules are pure: they compare what one look saw.
 *
 * An instance that works is never still: what one look finds half-made is finished at the next. So only what every one of
 * several looks finds is a violation (cmd_check_invariants.c). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "firebreak/place.h"

#define SIGHT_ID_LEN     20u
#define SIGHT_NAME_MAX   64u
#define SIGHT_SLOTS_MAX  4096u
#define SIGHT_IFNAME_MAX 16u
#define UIDS_PER_SANDBOX 65536u

/* cgroup hierarchies, each with the directory where it is mounted. */
enum sight_hierarchy {
    HIERARCHY_V2,     /* /sys/fs/cgroup or /sys/fs/cgroup/unified */
    HIERARCHY_MEMORY, /* the rest is v1 */
    HIERARCHY_CPU,
    HIERARCHY_CPUACCT,
    HIERARCHY_PIDS,
    HIERARCHY_FREEZER,
    HIERARCHY_N
};
extern const char *const hierarchy_name[HIERARCHY_N];

enum sight_role { ROLE_SANDBOX, ROLE_MONITOR, ROLE_WARDEN, ROLE_API, ROLE_OTHER };

/* A process that has to do with the instance. */
struct sight_process {
    pid_t pid, parent;
    enum sight_role role;
    char name[16];
    char state;                /* 'R', 'S', 'Z', ... */
    uint32_t uid[4];           /* real, effective, saved, file system */
    unsigned n_pid_namespaces; /* depth below that of this program, itself included */
    bool no_new_privs, filtered;
    uint64_t caps;              /* permitted or effective */
    uint64_t netns, start_time; /* inode; clock ticks: tells apart two processes of one pid */
    unsigned n_fds;
    bool has_network;                          /* of a monitor: there is an eth0 where it is */
    char group[HIERARCHY_N][SIGHT_ID_LEN + 1]; /* its sandbox by its cgroup; "" if none */
};

/* RUN/sb/<slot>.rec */
struct sight_record {
    uint32_t slot;
    char id[SIGHT_ID_LEN + 1];
    bool readable;
};

struct sight_group {
    enum sight_hierarchy hierarchy;
    char id[SIGHT_NAME_MAX];
};

enum sight_row_state { ROW_STARTING, ROW_RUNNING };
struct sight_row {
    char id[SIGHT_ID_LEN + 1];
    enum sight_row_state state;
};

/* An interface of the instance on the host. */
struct sight_interface {
    char name[SIGHT_IFNAME_MAX];
    char id[SIGHT_NAME_MAX]; /* its alias: the sandbox at its other end */
};

/* An element of the packet table, of a set that opens something. */
struct sight_element {
    const char *set;                  /* static */
    char interface[SIGHT_IFNAME_MAX]; /* of the set "src", else "" */
    uint32_t addr;                    /* of the sandbox, host order */
};

/* A text that is the evidence as it stands: a file, a mount, a loop device. */
struct sight_text {
    char text[200];
};

#define SIGHT_LIST(type)                                                                       \
    struct {                                                                                   \
        struct type *at;                                                                       \
        size_t n, cap;                                                                         \
    }

/* What one look saw. */
struct sight {
    uint32_t uid_base, max_sandboxes;
    uint64_t host_netns;
    bool registry_read;
    SIGHT_LIST(sight_process) process;
    SIGHT_LIST(sight_record) record; /* by slot */
    SIGHT_LIST(sight_group) group;
    SIGHT_LIST(sight_row) row;
    SIGHT_LIST(sight_text) stray; /* files in RUN that belong to nobody; sockets of no record */
    SIGHT_LIST(sight_text) mount; /* host mounts of the instance */
    SIGHT_LIST(sight_text) loop;  /* loop devices of its images */
    SIGHT_LIST(sight_interface) interface;
    SIGHT_LIST(sight_element) element;
    bool has_table; /* the instance's packet table is there */
    unsigned n_images;
    uint64_t pooled; /* sandboxes that the API holds ready or makes ready: they are in no row */
};

struct sight_options {
    struct place place;
    uint32_t uid_base,
        max_sandboxes; /* of a running warden these are its own, whatever is here */
    bool stopped;      /* nothing at all may be left */
};

/* Reads everything. -errno with *e if it cannot be read at all. */
int sight_look(struct sight *s, const struct sight_options *o, struct err *e);
void sight_fini(struct sight *s);
/* Interfaces and packet table of the network namespace that this program is in. A kernel without nftables has none. */
int sight_network(struct sight *s, const struct place *p, struct err *e);
/* The registry, read as its owner. -ENOENT if there is none yet. */
int sight_registry(struct sight *s, const struct place *p, struct err *e);
/* Appends a zeroed element to a list of s; NULL if out of memory. */
void *sight_append(void *list, size_t size);
#define SIGHT_ADD(list) ((__typeof__((list).at))sight_append(&(list), sizeof *(list).at))
const struct sight_process *sight_daemon(const struct sight *s, enum sight_role role);

/* One invariant that does not hold, of one subject. */
struct finding {
    unsigned invariant; /* index */
    char subject[96];   /* what it is about: the same in every look at the same trouble */
    char evidence[240];
};
struct findings {
    struct finding *at;
    size_t n, cap;
    bool cut; /* there was no memory for more */
};

struct invariant {
    const char *id;       /* stable */
    const char *sentence; /* what holds */
    void (*check)(const struct sight *s, unsigned self, struct findings *out);
    bool when_stopped; /* checked of a stopped instance only */
};
extern const struct invariant invariants[];
extern const unsigned invariants_n;

void findings_add(struct findings *f, unsigned invariant, const char *subject, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
void findings_fini(struct findings *f);
/* Checks all that apply. */
void invariants_check(const struct sight *s, bool stopped, struct findings *out);
