/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"

static void read_file(const char *path, struct buf *out)
{
    /* Not blocking: the workload may have put a FIFO here. */
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    for (;;) {
        char *to = buf_reserve(out, 4096);
        if (!to)
            break;
        ssize_t n = read(fd, to, 4096);
        if (n <= 0)
            break;
        out->n += (size_t)n;
    }
    if (!buf_ok(out)) /* half a file could lack the line that matters: better none */
        buf_clear(out);
}

void users_load(struct users *u)
{
    *u =
        (struct users){ .passwd = BUF_INIT(USERS_FILE_MAX), .group = BUF_INIT(USERS_FILE_MAX) };
    read_file("/etc/passwd", &u->passwd);
    read_file("/etc/group", &u->group);
}

void users_from_text(struct users *u, struct str passwd, struct str group)
{
    *u =
        (struct users){ .passwd = BUF_INIT(USERS_FILE_MAX), .group = BUF_INIT(USERS_FILE_MAX) };
    buf_add_str(&u->passwd, passwd);
    buf_add_str(&u->group, group);
}

void users_fini(struct users *u)
{
    buf_fini(&u->passwd);
    buf_fini(&u->group);
}

/* Splits a line at its colons into exactly n fields. */
static bool fields(struct str line, struct str *field, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (!str_cut(line, ':', &field[i], &line))
            return false;
    field[n - 1] = line;
    size_t more;
    return !str_find(line, ':', &more);
}

static bool next_line(struct str *text, struct str *line)
{
    if (text->n == 0)
        return false;
    (void)str_cut(*text, '\n', line, text);
    return true;
}

static bool parse_id(struct str s, uint32_t *id)
{
    uint64_t v;
    if (num_parse_u64(s, 0, UINT32_MAX - 1, &v) <
        0) /* (uid_t)-1 means "leave it" to the kernel */
        return false;
    *id = (uint32_t)v;
    return true;
}

static bool parse_passwd(struct str line, struct user *out)
{
    struct str f[7];
    return fields(line, f, ARRAY_LEN(f)) && f[0].n > 0 &&
           str_copy(f[0], out->name, sizeof out->name) == 0 && parse_id(f[2], &out->uid) &&
           parse_id(f[3], &out->gid) && str_copy(f[5], out->home, sizeof out->home) == 0 &&
           str_copy(f[6], out->shell, sizeof out->shell) == 0;
}

static bool is_member(struct str list, struct str name)
{
    struct str one;
    while (list.n > 0) {
        (void)str_cut(list, ',', &one, &list);
        if (str_eq(str_trim(one), name))
            return true;
    }
    return false;
}

static void add_group(struct user *who, gid_t gid)
{
    for (size_t i = 0; i < who->n_groups; i++)
        if (who->group[i] == gid)
            return;
    if (who->n_groups < USER_GROUPS_MAX)
        who->group[who->n_groups++] = gid;
}

static void find_groups(const struct users *u, struct user *who)
{
    struct str text = buf_str(&u->group), line, f[4];
    gid_t gid;

    who->n_groups = 0;
    add_group(who, who->gid);
    while (next_line(&text, &line))
        if (fields(line, f, ARRAY_LEN(f)) && parse_id(f[2], &gid) &&
            is_member(f[3], str_from(who->name)))
            add_group(who, gid);
}

static int complete(const struct users *u, struct user *found, struct user *out)
{
    if (found->home[0] != '/')
        (void)str_copy(STR("/"), found->home, sizeof found->home);
    if (found->shell[0] != '/')
        (void)str_copy(STR("/bin/sh"), found->shell, sizeof found->shell);
    find_groups(u, found);
    *out = *found;
    return 0;
}

static const struct user ROOT = { .name = "root", .home = "/root", .shell = "/bin/sh" };

int users_by_name(const struct users *u, struct str name, struct user *out)
{
    struct str text = buf_str(&u->passwd), line;
    struct user found = { 0 };

    while (next_line(&text, &line))
        if (str_starts(line, name) && parse_passwd(line, &found) &&
            str_eq(str_from(found.name), name))
            return complete(u, &found, out);
    if (!str_eq(name, STR("root")))
        return -ENOENT;
    found = ROOT;
    return complete(u, &found, out);
}

int users_by_uid(const struct users *u, uid_t uid, struct user *out)
{
    struct str text = buf_str(&u->passwd), line;
    struct user found = { 0 };

    while (next_line(&text, &line))
        if (parse_passwd(line, &found) && found.uid == uid)
            return complete(u, &found, out);
    if (uid != 0)
        return -ENOENT;
    found = ROOT;
    return complete(u, &found, out);
}

bool users_in_group(const struct users *u, const struct user *who, struct str group)
{
    struct str text = buf_str(&u->group), line, f[4];
    gid_t gid;

    while (next_line(&text, &line))
        if (fields(line, f, ARRAY_LEN(f)) && str_eq(f[0], group) && parse_id(f[2], &gid))
            return who->gid == gid || is_member(f[3], str_from(who->name));
    return false;
}

const char *users_uid_name(struct users *u, uid_t uid)
{
    struct str text = buf_str(&u->passwd), line, f[7];
    uint32_t id;

    if (u->last_user.valid && u->last_user.id == uid)
        return u->last_user.name;
    (void)snprintf(u->last_user.name, sizeof u->last_user.name, "%u", uid);
    if (uid == 0)
        (void)str_copy(STR("root"), u->last_user.name, sizeof u->last_user.name);
    while (next_line(&text, &line))
        if (fields(line, f, ARRAY_LEN(f)) && parse_id(f[2], &id) && id == uid && f[0].n > 0 &&
            str_copy(f[0], u->last_user.name, sizeof u->last_user.name) == 0)
            break;
    u->last_user.valid = true;
    u->last_user.id = uid;
    return u->last_user.name;
}

const char *users_gid_name(struct users *u, gid_t gid)
{
    struct str text = buf_str(&u->group), line, f[4];
    uint32_t id;

    if (u->last_group.valid && u->last_group.id == gid)
        return u->last_group.name;
    (void)snprintf(u->last_group.name, sizeof u->last_group.name, "%u", gid);
    if (gid == 0)
        (void)str_copy(STR("root"), u->last_group.name, sizeof u->last_group.name);
    while (next_line(&text, &line))
        if (fields(line, f, ARRAY_LEN(f)) && parse_id(f[2], &id) && id == gid && f[0].n > 0 &&
            str_copy(f[0], u->last_group.name, sizeof u->last_group.name) == 0)
            break;
    u->last_group.valid = true;
    u->last_group.id = gid;
    return u->last_group.name;
}
