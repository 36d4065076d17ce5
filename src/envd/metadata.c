/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/auto.h"
#include "base/str.h"
#include "codec/json.h"

#define HEADER    STR("X-Metadata-")
#define ATTRIBUTE "user.e2b."
#define NAMES_MAX 65536 /* the kernel's limit of a list of names */

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    return true;
}

static int add(json_t *set, struct str key, struct str value, size_t *total, struct err *e)
{
    char name[METADATA_KEY_MAX + 1], text[METADATA_TOTAL_MAX + 1];

    if (key.n == 0)
        return err_say(e, EINVAL, "invalid metadata: a key is empty");
    if (key.n > METADATA_KEY_MAX)
        return err_say(e, EINVAL, "invalid metadata: key '%.40s...' is longer than %u bytes",
                       key.p, METADATA_KEY_MAX);
    if (!is_printable(key) || !is_printable(value))
        return err_say(e, EINVAL, "invalid metadata: only printable ASCII is allowed");
    *total += sizeof ATTRIBUTE - 1 + key.n + value.n;
    if (*total > METADATA_TOTAL_MAX)
        return err_say(e, EINVAL, "invalid metadata: longer than %u bytes in all",
                       METADATA_TOTAL_MAX);
    (void)str_copy(key, name, sizeof name); /* the lengths were checked */
    (void)str_copy(value, text, sizeof text);
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A')); /* a letter again */
    if (json_object_set_new(set, name, json_string(text)) < 0)
        return err_say(e, ENOMEM, "out of memory");
    return 0;
}

json_t *metadata_from_head(const struct http1_head *head, struct err *e)
{
    json_t *set = json_object();
    size_t total = 0;

    if (!set)
        (void)err_say(e, ENOMEM, "out of memory");
    for (size_t i = 0; set && i < head->n_headers; i++) {
        struct str name = head->header[i].name;
        if (!str_eq_nocase(str_sub(name, 0, HEADER.n), HEADER))
            continue;
        if (add(set, str_sub(name, HEADER.n, name.n), head->header[i].value, &total, e) < 0) {
            json_decref(set);
            set = NULL;
        }
    }
    return set;
}

/* Calls one(name, arg) for each attribute of ours in a list of names. */
static void each_name(const char *names, ssize_t n, void (*one)(const char *name, void *arg),
                      void *arg)
{
    for (const char *at = names; at < names + n; at += strlen(at) + 1)
        if (strncmp(at, ATTRIBUTE, sizeof ATTRIBUTE - 1) == 0)
            one(at, arg);
}

static void remove_one(const char *name, void *arg)
{
    (void)fremovexattr(*(const int *)arg, name); /* gone already is as good */
}

int metadata_replace(int fd, json_t *set)
{
    AUTO_FREE char *names = NULL;
    char attribute[sizeof ATTRIBUTE + METADATA_KEY_MAX];
    const char *key;
    json_t *value;

    ssize_t n = flistxattr(fd, NULL, 0);
    if (n > 0 && n <= NAMES_MAX && (names = malloc((size_t)n))) {
        n = flistxattr(fd, names, (size_t)n);
        each_name(names, n, remove_one, &fd);
    }
    json_object_foreach(set, key, value)
    {
        (void)snprintf(attribute, sizeof attribute, ATTRIBUTE "%s", key);
        if (fsetxattr(fd, attribute, json_string_value(value), json_string_length(value), 0) <
                0 &&
            errno != ENOTSUP && errno != EPERM)
            return -errno;
    }
    return 0;
}

struct reading {
    const char *path;
    json_t *set;
};

static void read_one(const char *name, void *arg)
{
    struct reading *r = arg;
    char value[METADATA_TOTAL_MAX];

    /* The workload may have set it itself: then to any bytes, of which JSON takes UTF-8 only. */
    ssize_t n = lgetxattr(r->path, name, value, sizeof value);
    if (n < 0)
        return;
    if (!r->set)
        r->set = json_object();
    (void)json_object_set_new(r->set, name + sizeof ATTRIBUTE - 1,
                              json_stringn(value, (size_t)n));
}

json_t *metadata_read(const char *path)
{
    struct reading r = { .path = path };
    char small[512];
    AUTO_FREE char *big = NULL;
    char *names = small;

    ssize_t n = llistxattr(path, small, sizeof small);
    if (n < 0 && errno == ERANGE && (big = malloc(NAMES_MAX))) {
        names = big;
        n = llistxattr(path, big, NAMES_MAX);
    }
    if (n > 0)
        each_name(names, n, read_one, &r);
    return r.set;
}
