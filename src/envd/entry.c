/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/entry.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "envd/metadata.h"
#include "envd/paths.h"

void entry_permissions(mode_t mode, char out[ENTRY_PERMISSIONS_MAX])
{
    static const struct {
        mode_t mask, value;
        char letter;
    } kind[] = { { S_IFMT, S_IFDIR, 'd' },  { S_IFMT, S_IFLNK, 'L' },
                 { S_IFMT, S_IFBLK, 'D' },  { S_IFMT, S_IFCHR, 'D' },
                 { S_IFMT, S_IFIFO, 'p' },  { S_IFMT, S_IFSOCK, 'S' },
                 { S_ISUID, S_ISUID, 'u' }, { S_ISGID, S_ISGID, 'g' },
                 { S_IFMT, S_IFCHR, 'c' },  { S_ISVTX, S_ISVTX, 't' } };
    static const char rwx[] = "rwxrwxrwx";
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(kind); i++)
        if ((mode & kind[i].mask) == kind[i].value)
            out[n++] = kind[i].letter;
    if (n == 0)
        out[n++] = '-';
    for (unsigned i = 0; i < 9; i++)
        if (mode & (0400u >> i))
            out[n++] = rwx[i];
        else
            out[n++] = '-';
    out[n] = '\0';
}

static const char *type_of(mode_t mode)
{
    return S_ISDIR(mode)   ? "FILE_TYPE_DIRECTORY"
           : S_ISREG(mode) ? "FILE_TYPE_FILE"
                           : "FILE_TYPE_UNSPECIFIED";
}

static void write_metadata(const char *path, struct buf *out)
{
    AUTO_JSON json_t *set = metadata_read(path);

    if (!set || json_object_size(set) == 0)
        return;
    buf_add_cstr(out, ",\"metadata\":");
    (void)json_write(out, set); /* out remembers a failure */
}

int entry_write(const char *path, struct users *files, struct buf *out)
{
    struct stat st, target;
    char permissions[ENTRY_PERMISSIONS_MAX], time[CLOCK_TEXT_MAX];
    char resolved[PATH_MAX]; /* realpath writes so much */
    const char *type;

    if (lstat(path, &st) < 0)
        return -errno;
    mode_t mode = st.st_mode;
    type = type_of(mode);
    bool is_link = S_ISLNK(mode);
    if (is_link && stat(path, &target) == 0) {
        mode = target.st_mode;
        type = type_of(mode);
    }
    entry_permissions(st.st_mode, permissions);
    uint64_t ns = st.st_mtim.tv_sec >= 0
                      ? (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec
                      : 0;
    clock_format_rfc3339(ns, 9, time);

    buf_add_cstr(out, "{\"name\":");
    json_write_str(out, paths_base(str_from(path)));
    buf_addf(out, ",\"type\":\"%s\",\"path\":", type);
    json_write_str(out, str_from(path));
    buf_addf(out, ",\"size\":\"%lld\",\"mode\":%u,\"permissions\":\"%s\",\"owner\":",
             (long long)st.st_size, (unsigned)(mode & 0777), permissions);
    json_write_str(out, str_from(users_uid_name(files, st.st_uid)));
    buf_add_cstr(out, ",\"group\":");
    json_write_str(out, str_from(users_gid_name(files, st.st_gid)));
    buf_addf(out, ",\"modifiedTime\":\"%s\"", time);
    if (is_link) {
        buf_add_cstr(out, ",\"symlinkTarget\":");
        json_write_str(out, str_from(realpath(path, resolved) ? resolved : path));
    }
    write_metadata(path, out);
    buf_add_char(out, '}');
    return 0;
}
