/* SPDX-License-Identifier: Apache-2.0 */
#include "store/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/json.h"

#define ENV_PAIRS_MAX 256u
#define ENV_BYTES_MAX 8192u

struct name {
    char text[TEMPLATE_NAME_MAX + 1];
};

void template_fini(struct template *t)
{
    json_decref(t->env);
    t->env = NULL;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool template_name_ok(struct str s)
{
    if (s.n == 0 || s.n > TEMPLATE_NAME_MAX || !is_word(s.p[0]))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_word(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return true;
}

/* --- fields --- */

/* A string that must be there. */
static int need_text(const json_t *j, const char *field, char *out, size_t cap, struct err *e)
{
    const char *s;
    int rc = json_get_str(j, field, cap - 1, &s, e);

    if (rc == 0)
        return err_say(e, EINVAL, "field '%s' is missing", field);
    return rc < 0 ? rc : str_copy(str_from(s), out, cap);
}

static int need_number(const json_t *j, const char *field, int64_t min, int64_t max,
                       int64_t *out, struct err *e)
{
    int rc = json_get_i64(j, field, min, max, out, e);

    return rc == 0 ? err_say(e, EINVAL, "field '%s' is missing", field) : rc < 0 ? rc : 0;
}

static int read_name(const json_t *j, struct template *t, struct err *e)
{
    int rc = need_text(j, "name", t->name, sizeof t->name, e);

    if (rc < 0)
        return rc;
    return template_name_ok(str_from(t->name)) ? 0
                                               : err_say(e, EINVAL, "field 'name' is no name");
}

static int read_aliases(const json_t *j, struct template *t, struct err *e)
{
    json_t *list = NULL;
    int rc = json_get_array(j, "aliases", &list, e);

    if (rc < 0)
        return rc;
    if (json_array_size(list) > TEMPLATE_ALIASES_MAX)
        return err_say(e, EINVAL, "field 'aliases' may have at most %u entries",
                       TEMPLATE_ALIASES_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !template_name_ok(str_from(s)))
            return err_say(e, EINVAL, "field 'aliases': entry %zu is no name", i);
        (void)str_copy(str_from(s), t->alias[i],
                       sizeof t->alias[i]); /* template_name_ok: it fits */
        t->n_aliases = i + 1;
    }
    return 0;
}

static int read_digest(const json_t *j, struct template *t, struct err *e)
{
    uint64_t v;
    int rc = need_text(j, "digest", t->digest_text, sizeof t->digest_text, e);

    if (rc < 0)
        return rc;
    struct str hex = str_from(t->digest_text);
    for (size_t i = 0; i < sizeof t->digest; i++) {
        if (hex.n != 2 * sizeof t->digest ||
            num_parse_hex_u64(str_sub(hex, 2 * i, 2), 255, &v) < 0)
            return err_say(e, EINVAL, "field 'digest' must be 64 hexadecimal digits");
        t->digest[i] = (uint8_t)v;
    }
    return 0;
}

static int read_created(const json_t *j, struct template *t, struct err *e)
{
    char text[CLOCK_TEXT_MAX];
    int rc = need_text(j, "createdAt", text, sizeof text, e);

    if (rc < 0)
        return rc;
    return clock_parse_rfc3339(text, &t->created_ns) < 0
               ? err_say(e, EINVAL, "field 'createdAt' must be a time as in RFC 3339")
               : 0;
}

static int read_sizes(const json_t *j, struct template *t, struct err *e)
{
    int64_t bytes, cpu, memory, disk;

    if (need_number(j, "bytes", 1, INT64_MAX, &bytes, e) < 0 ||
        need_number(j, "cpuCount", 1, 64, &cpu, e) < 0 ||
        need_number(j, "memoryMB", 64, 65536, &memory, e) < 0 ||
        need_number(j, "diskSizeMB", 1, 65536, &disk, e) < 0)
        return -e->code;
    t->bytes = (uint64_t)bytes;
    t->cpu_count = (uint32_t)cpu;
    t->memory_mb = (uint32_t)memory;
    t->disk_mb = (uint32_t)disk;
    return 0;
}

/* 8-4-4-4-12 hexadecimal digits: strict clients parse it. */
static bool is_uuid(const char *s)
{
    if (strlen(s) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (dash ? s[i] != '-' : !hex)
            return false;
    }
    return true;
}

static int read_build_id(const json_t *j, struct template *t, struct err *e)
{
    int rc = need_text(j, "buildID", t->build_id, sizeof t->build_id, e);

    if (rc < 0)
        return rc;
    return is_uuid(t->build_id) ? 0 : err_say(e, EINVAL, "field 'buildID' must be a UUID");
}

static int read_defaults(const json_t *j, struct template *t, struct err *e)
{
    json_t *env = NULL;
    const char *user = "", *workdir = "";

    if (json_get_str(j, "user", sizeof t->user - 1, &user, e) < 0 ||
        json_get_str(j, "workdir", sizeof t->workdir - 1, &workdir, e) < 0 ||
        json_get_str_map(j, "env", ENV_PAIRS_MAX, ENV_BYTES_MAX, &env, e) < 0)
        return -e->code;
    if (*workdir && *workdir != '/')
        return err_say(e, EINVAL, "field 'workdir' must be absolute");
    (void)str_copy(str_from(user), t->user, sizeof t->user); /* json_get_str: they fit */
    (void)str_copy(str_from(workdir), t->workdir, sizeof t->workdir); /* likewise */
    t->env = env ? json_incref(env) : json_object();
    return t->env ? 0 : err_set(e, ENOMEM, "keep field 'env'");
}

/* One of the words, by its index. The first one if it is not there. */
static int read_word(const json_t *j, const char *field, const char *const *word, size_t n,
                     uint32_t *out, struct err *e)
{
    const char *s = word[0];

    if (json_get_str(j, field, 32, &s, e) < 0)
        return -e->code;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(s, word[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return err_say(e, EINVAL, "field '%s' must be one of the words in the manual", field);
}

static int read_policy(const json_t *j, struct template *t, struct err *e)
{
    static const char *const profile[] = { "default", "strict", "debug" };
    static const char *const layer[] = { "memory", "disk" };
    int64_t shares = 0, io = 0;
    uint32_t on_disk = 0;

    if (read_word(j, "seccomp", profile, ARRAY_LEN(profile), &t->profile, e) < 0 ||
        read_word(j, "writableLayer", layer, ARRAY_LEN(layer), &on_disk, e) < 0 ||
        json_get_bool(j, "userNamespaces", &t->user_namespaces, e) < 0 ||
        json_get_i64(j, "cpuShares", 2, 262144, &shares, e) < 0 ||
        json_get_i64(j, "ioMBps", 1, 65536, &io, e) < 0)
        return -e->code;
    t->cpu_shares = (uint32_t)shares;
    t->io_mib_per_s = (uint32_t)io;
    t->disk_file = on_disk == 1;
    return 0;
}

int template_parse(struct str text, struct template *out, struct err *e)
{
    AUTO_JSON json_t *j = json_parse(text, e);
    struct template t = { 0 };

    if (!j)
        return -e->code;
    if (!json_is_object(j))
        return err_say(e, EINVAL, "it must be an object");
    if (read_name(j, &t, e) < 0 || read_aliases(j, &t, e) < 0 || read_digest(j, &t, e) < 0 ||
        read_created(j, &t, e) < 0 || read_sizes(j, &t, e) < 0 || read_build_id(j, &t, e) < 0 ||
        read_policy(j, &t, e) < 0 || read_defaults(j, &t, e) < 0)
        return -e->code;
    *out = t;
    return 0;
}

/* --- files --- */

int template_open_dir(const char *state_dir, struct err *e)
{
    char path[512];

    if (snprintf(path, sizeof path, "%s/templates", state_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "the path of the state directory is too long");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open '%s'", path) : fd;
}

static int read_all(int fd, char *text, size_t cap, size_t *n)
{
    *n = 0;
    while (*n < cap) {
        ssize_t got = read(fd, text + *n, cap - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        *n += (size_t)got;
    }
    return -EFBIG;
}

static int load(int dir_fd, struct str name, struct template *out, struct err *e)
{
    char file[TEMPLATE_NAME_MAX + 8];
    struct stat st;
    size_t n;

    if (!template_name_ok(name)) /* so it cannot be a path either */
        return err_say(e, ENOENT, "no template has that name");
    (void)snprintf(file, sizeof file, "%.*s.json", (int)name.n, name.p);
    /* O_NONBLOCK: whatever has that name, opening it must not wait. */
    AUTO_CLOSE int fd = openat(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "open template '%s'", file);
    if (!S_ISREG(st.st_mode))
        return err_say(e, EINVAL, "template '%s' is no regular file", file);
    AUTO_FREE char *text = malloc(TEMPLATE_FILE_MAX + 1);
    if (!text)
        return err_set(e, ENOMEM, "read template '%s'", file);
    int rc = read_all(fd, text, TEMPLATE_FILE_MAX + 1, &n);
    if (rc < 0)
        return err_set(e, -rc, "read template '%s'", file);
    struct template t = { 0 };
    if (template_parse((struct str){ text, n }, &t, e) < 0)
        return err_wrap(e, "template '%s'", file);
    if (!str_eq(str_from(t.name), name)) {
        template_fini(&t);
        return err_say(e, EINVAL, "template '%s': field 'name' must be the file's name", file);
    }
    *out = t;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* The names of the metadata files, sorted. Files beyond TEMPLATES_MAX are not looked at. */
static int list_names(int dir_fd, struct name out[TEMPLATES_MAX], size_t *n, struct err *e)
{
    *n = 0;
    int fd =
        openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* has a position of its own */
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int code = errno;
        if (fd >= 0)
            (void)close(fd);
        return err_set(e, code, "read the template directory");
    }
    for (struct dirent *f = readdir(d); f && *n < TEMPLATES_MAX; f = readdir(d)) {
        struct str s = str_from(f->d_name);
        if (!str_ends(s, STR(".json")))
            continue;
        s = str_sub(s, 0, s.n - 5);
        if (template_name_ok(s) && str_copy(s, out[*n].text, sizeof out[*n].text) == 0)
            (*n)++;
    }
    (void)closedir(d);
    qsort(out, *n, sizeof out[0], by_name);
    return 0;
}

int template_each(int dir_fd, int (*fn)(const struct template *t, void *arg),
                  void (*bad)(const char *file, const struct err *why, void *arg), void *arg,
                  struct err *e)
{
    AUTO_FREE struct name *name = calloc(TEMPLATES_MAX, sizeof *name);
    size_t n;
    int rc = 0;

    if (!name)
        return err_set(e, ENOMEM, "list templates");
    if (list_names(dir_fd, name, &n, e) < 0)
        return -e->code;
    for (size_t i = 0; i < n && rc == 0; i++) {
        AUTO_TEMPLATE struct template t = { 0 };
        struct err why = { 0 };
        if (load(dir_fd, str_from(name[i].text), &t, &why) == 0)
            rc = fn(&t, arg);
        else if (bad)
            bad(name[i].text, &why, arg);
    }
    return rc;
}

struct alias_search {
    struct str name;
    char found[TEMPLATE_NAME_MAX + 1];
};

static int has_alias(const struct template *t, void *arg)
{
    struct alias_search *s = arg;

    for (size_t i = 0; i < t->n_aliases; i++)
        if (str_eq(str_from(t->alias[i]), s->name))
            return str_copy(str_from(t->name), s->found, sizeof s->found) == 0;
    return 0;
}

int template_find(int dir_fd, struct str name, struct template *out, struct err *e)
{
    struct alias_search s = { .name = name };
    int rc = load(dir_fd, name, out, e);

    if (rc != -ENOENT || !template_name_ok(name))
        return rc;
    rc = template_each(dir_fd, has_alias, NULL, &s, e);
    if (rc < 0)
        return rc;
    return rc == 1 ? load(dir_fd, str_from(s.found), out, e)
                   : err_say(e, ENOENT, "no template is called '%.*s'", (int)name.n, name.p);
}
