/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as a hostile image may have them, in a directory of our own; mounts only in a namespace
 * of a child. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "sys/mnt.h"

static char path[64];
static int tree = -1;

static int make_tree(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/firebreak-mnt-XXXXXX");
    if (!mkdtemp(path))
        return -1;
    tree = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return tree < 0 || mkdirat(tree, "real", 0755) < 0 || mkdirat(tree, "usr", 0755) < 0 ||
                   symlinkat("/etc", tree, "link") < 0 ||
                   symlinkat("real", tree, "inner") < 0 ||
                   symlinkat("nowhere", tree, "dangling") < 0 ||
                   symlinkat("/", tree, "usr/bin") < 0 || mkfifoat(tree, "pipe", 0600) < 0 ||
                   mknodat(tree, "file", S_IFREG | 0644, 0) < 0
               ? -1
               : 0;
}

static int remove_tree(void **state)
{
    static const char *const file[] = {
        "link", "inner", "dangling", "usr/bin", "pipe", "file"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(file); i++)
        (void)unlinkat(tree, file[i], 0);
    (void)unlinkat(tree, "real", AT_REMOVEDIR);
    (void)unlinkat(tree, "real", 0); /* the link that took its place */
    (void)unlinkat(tree, "moved", AT_REMOVEDIR);
    (void)unlinkat(tree, "made", AT_REMOVEDIR);
    (void)unlinkat(tree, "usr", AT_REMOVEDIR);
    (void)close(tree);
    return rmdir(path);
}

static int dir_in(const char *name)
{
    AUTO_CLOSE int fd = mnt_open_dir_in(tree, name, 0755);
    return fd < 0 ? fd : 0;
}

static int file_in(const char *name)
{
    AUTO_CLOSE int fd = mnt_open_in(tree, name, O_PATH);
    return fd < 0 ? fd : 0;
}

static void a_directory_is_found_or_made_and_nothing_else_is_taken_for_one(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(dir_in("real"), 0);
    assert_int_equal(dir_in("made"), 0);
    assert_int_equal(fstatat(tree, "made", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(dir_in("link"), -ENOTDIR);
    assert_int_equal(dir_in("inner"), -ENOTDIR);
    assert_int_equal(dir_in("dangling"), -ENOTDIR);
    assert_int_equal(dir_in("pipe"), -ENOTDIR);
    assert_int_equal(dir_in("file"), -ENOTDIR);
    assert_int_equal(fstatat(tree, "nowhere", &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void no_link_is_followed_and_nothing_is_outside(void **state)
{
    (void)state;
    assert_int_equal(file_in("file"), 0);
    assert_int_equal(file_in("pipe"), 0); /* O_PATH: it was not opened */
    assert_int_equal(file_in("link"), -ELOOP);
    assert_int_equal(file_in("link/passwd"), -ELOOP);
    assert_int_equal(file_in("usr/bin/true"), -ELOOP);
    assert_int_equal(file_in("../../../../../../etc/passwd"),
                     -ENOENT); /* .. ends at the tree */
    assert_int_equal(file_in("/etc/passwd"), -ENOENT);
}

/* In a mount namespace of its own: nothing of it is on the host. */
static int mounts_on_a_descriptor(void)
{
    static const struct mnt_option options[] = { { "source", "unit" }, { "size", "65536" } };
    struct stat st;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 1;
    /* The descriptor from before is of the old namespace. */
    AUTO_CLOSE int here = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int m = mnt_make("tmpfs", options, ARRAY_LEN(options), MOUNT_ATTR_NODEV);
    AUTO_CLOSE int at = mnt_open_dir_in(here, "real", 0755);
    if (m < 0 || at < 0 || mkdirat(m, "inside", 0755) < 0)
        return 2;
    /* The name is swapped after it was looked at: the descriptor is what counts. */
    if (renameat(here, "real", here, "moved") < 0 || symlinkat("/etc", here, "real") < 0)
        return 3;
    int rc = mnt_attach(m, at);
    if (rc < 0 || fstatat(here, "moved/inside", &st, 0) < 0)
        return 4;
    if (mnt_open_in(here, "moved/inside", O_PATH) != -EXDEV) /* a mount of ours is no way in */
        return 5;
    if (mnt_set_read_only(m) < 0 || mkdirat(m, "more", 0755) == 0 || errno != EROFS)
        return 6;
    return 0;
}

static void a_mount_goes_onto_what_was_opened(void **state)
{
    int status = -1;

    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(mounts_on_a_descriptor());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_found_or_made_and_nothing_else_is_taken_for_one),
        cmocka_unit_test(no_link_is_followed_and_nothing_is_outside),
        cmocka_unit_test(a_mount_goes_onto_what_was_opened),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
