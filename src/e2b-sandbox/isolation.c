/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/isolation.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"

#define UIDS_PER_SANDBOX 65536u

/* The value of a line "name:\tvalue". */
static bool line_of(struct str text, const char *name, struct str *value)
{
    struct str line, key;

    while (text.n > 0) {
        (void)str_cut(text, '\n', &line, &text);
        if (str_cut(line, ':', &key, value) && str_eq(key, str_from(name))) {
            *value = str_trim(*value);
            return true;
        }
    }
    return false;
}

static bool first_number(struct str text, const char *name, uint64_t max, uint64_t *out)
{
    struct str value, rest;

    if (!line_of(text, name, &value))
        return false;
    (void)str_cut(value, '\t', &value, &rest);
    return num_parse_u64(value, 0, max, out) == 0;
}

static bool hex_number(struct str text, const char *name, uint64_t *out)
{
    struct str value;
    return line_of(text, name, &value) && num_parse_hex_u64(value, UINT64_MAX, out) == 0;
}

bool isolation_parse(struct str status, struct isolation *out)
{
    uint64_t uid, seccomp, no_new_privs;
    struct isolation i = { 0 };
    struct str pids, one;

    if (!first_number(status, "Uid", UINT32_MAX, &uid) ||
        !first_number(status, "Seccomp", 2, &seccomp) ||
        !first_number(status, "NoNewPrivs", 1, &no_new_privs) ||
        !hex_number(status, "CapEff", &i.cap_effective) ||
        !hex_number(status, "CapBnd", &i.cap_bounding) || !line_of(status, "NSpid", &pids))
        return false;
    i.uid = (uint32_t)uid;
    i.seccomp = (unsigned)seccomp;
    i.no_new_privs = no_new_privs == 1;
    while (str_cut(pids, '\t', &one, &pids))
        i.pid_namespaces++;
    *out = i;
    return true;
}

bool isolation_read(uint32_t pid, uint32_t first_uid, struct isolation *out)
{
    char path[64], text[8192];

    (void)snprintf(path, sizeof path, "/proc/%u/status", pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n <= 0 || !isolation_parse((struct str){ text, (size_t)n }, out))
        return false;
    /* The pid may be somebody else's by now. */
    return first_uid > 0 && out->uid >= first_uid && out->uid - first_uid < UIDS_PER_SANDBOX;
}
