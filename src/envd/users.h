/* SPDX-License-Identifier: Apache-2.0 */
/* users: the sandbox's /etc/passwd and /etc/group, read by our own code: glibc's would load NSS modules of the image into a
 * static program that runs as root. The files are the workload's: lines that are not well formed are skipped, sizes are bounded.
 *
 * A users object is a snapshot of both files; it owns its text. Threads: one at a time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/str.h"

#define USER_NAME_MAX   256  /* bytes with the NUL */
#define USER_PATH_MAX   4096 /* of home and shell, with the NUL */
#define USER_GROUPS_MAX 64   /* supplementary groups that are honoured */
#define USERS_FILE_MAX  (1u << 20)

struct user {
    char name[USER_NAME_MAX];
    uid_t uid;
    gid_t gid;
    char home[USER_PATH_MAX];
    char shell[USER_PATH_MAX];
    gid_t group[USER_GROUPS_MAX]; /* supplementary, the primary one included */
    size_t n_groups;
};

struct users {
    struct buf passwd, group;
    /* private: the last answers, since listings ask for the same few ids again and again */
    struct {
        bool valid;
        uint32_t id;
        char name[USER_NAME_MAX];
    } last_user, last_group;
};

#define AUTO_USERS __attribute__((cleanup(users_fini)))

/* Reads both files; one that is missing or too big counts as empty. */
void users_load(struct users *u);
/* The same from texts, for tests: copies them. */
void users_from_text(struct users *u, struct str passwd, struct str group);
void users_fini(struct users *u);

/* 0 with *out whole, groups included; -ENOENT. `root` exists even where /etc/passwd does not say so. */
int users_by_name(const struct users *u, struct str name, struct user *out);
int users_by_uid(const struct users *u, uid_t uid, struct user *out);
/* Is this user (by name or by primary group) in the group of that name? */
bool users_in_group(const struct users *u, const struct user *who, struct str group);
/* The name of an id, or its digits; valid until the next call for the same kind. */
const char *users_uid_name(struct users *u, uid_t uid);
const char *users_gid_name(struct users *u, gid_t gid);
