/* SPDX-License-Identifier: Apache-2.0 */
/* store/template: the templates of one state directory, as their metadata files STATE/templates/<name>.json say.
 * The files belong to root and are replaced by rename, so each read sees one whole version. Nothing is cached: a template
 * that was built a moment ago can be used at once. Threads: safe, the directory descriptor is only read. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define TEMPLATE_NAME_MAX    63u    /* bytes of a name or alias */
#define TEMPLATE_ALIASES_MAX 16u    /* of one template */
#define TEMPLATE_FILE_MAX    65536u /* bytes of a metadata file */
#define TEMPLATES_MAX        256u   /* files that are looked at */

struct template
{
    char name[TEMPLATE_NAME_MAX + 1];
    char alias[TEMPLATE_ALIASES_MAX][TEMPLATE_NAME_MAX + 1];
    size_t n_aliases;
    uint8_t digest[32]; /* SHA-256 of the image, which is STATE/templates/<hex>.erofs */
    char digest_text[65];
    uint64_t bytes;        /* of the image */
    uint64_t created_ns;   /* real time */
    uint32_t cpu_count;    /* 1..64 */
    uint32_t memory_mb;    /* 64..65536 */
    uint32_t disk_mb;      /* 1..65536 */
    char build_id[37];     /* a UUID */
    char user[33];         /* default user inside, or "" */
    char workdir[256];     /* absolute, or "" */
    json_t *env;           /* owned; an object of strings */
    uint32_t profile;      /* enum sandbox_profile of ipc/warden_proto.h, by "seccomp" */
    uint32_t cpu_shares;   /* 2..262144, or 0 for the default */
    uint32_t io_mib_per_s; /* 0: no limit */
    bool user_namespaces;  /* its programs may make some */
    bool disk_file;        /* the writable layer is on disk: "writableLayer" */
};

void template_fini(struct template *t);
#define AUTO_TEMPLATE __attribute__((cleanup(template_fini)))

/* Is s a name: 1..63 of [a-z0-9_-], beginning with a letter or digit? */
bool template_name_ok(struct str s);

/* Reads the text of a metadata file. Pure. 0 with *out initialised, or -EINVAL with *e naming the field. */
int template_parse(struct str text, struct template *out, struct err *e);

/* Opens STATE/templates, once. Returns a descriptor or -errno. */
int template_open_dir(const char *state_dir, struct err *e);

/* The template of that name, else the first (by name) that has it as an alias. 0 with *out initialised; -ENOENT if there
 * is none; another -errno with *e if its file is broken. */
int template_find(int dir_fd, struct str name, struct template *out, struct err *e);

/* Calls fn for each readable template, in order of names; fn returns 0 to go on. A file that is broken is told to `bad`
 * (may be NULL) and skipped. Returns what fn returned last, or -errno. */
int template_each(int dir_fd, int (*fn)(const struct template *t, void *arg),
                  void (*bad)(const char *file, const struct err *why, void *arg), void *arg,
                  struct err *e);
