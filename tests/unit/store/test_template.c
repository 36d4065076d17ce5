/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "store/template.h"

#define DIGEST "00ff112233445566778899aabbccddeeff00112233445566778899aabbccdd01"
#define REST                                                                                   \
    "\"digest\":\"" DIGEST "\",\"bytes\":4096,\"createdAt\":\"2026-01-02T03:04:05Z\","         \
    "\"cpuCount\":2,\"memoryMB\":512,\"diskSizeMB\":1024,\"user\":\"user\","                   \
    "\"workdir\":\"/home/user\",\"env\":{\"PATH\":\"/bin\"},"                                  \
    "\"buildID\":\"01234567-89ab-cdef-8123-456789abcdef\"}"
#define BASE "{\"name\":\"base\",\"aliases\":[\"debian\",\"python3\"]," REST

static char dir[] = "/tmp/test-template-XXXXXX";
static int dir_fd = -1;

static void put(const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static int empty_dir(void **state)
{
    static const char *const used[] = { "base.json", "other.json", "broken.json", "link.json",
                                        "pipe.json", "a.json",     "notes.txt",   "big.json" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(used); i++)
        (void)unlinkat(dir_fd, used[i], 0);
    return 0;
}

static int remove_dir(void **state)
{
    (void)empty_dir(state);
    (void)close(dir_fd);
    return rmdir(dir);
}

static void every_field_of_a_metadata_file_arrives(void **state)
{
    AUTO_TEMPLATE struct template t = { 0 };
    struct err e = { 0 };

    (void)state;
    assert_int_equal(template_parse(STR(BASE), &t, &e), 0);
    assert_string_equal(t.name, "base");
    assert_int_equal(t.n_aliases, 2);
    assert_string_equal(t.alias[1], "python3");
    assert_int_equal(t.digest[0], 0);
    assert_int_equal(t.digest[1], 0xff);
    assert_int_equal(t.digest[31], 1);
    assert_int_equal(t.bytes, 4096);
    assert_true(t.created_ns == UINT64_C(1767323045) * 1000000000);
    assert_int_equal(t.cpu_count, 2);
    assert_int_equal(t.memory_mb, 512);
    assert_int_equal(t.disk_mb, 1024);
    assert_string_equal(t.user, "user");
    assert_string_equal(t.workdir, "/home/user");
    assert_string_equal(json_string_value(json_object_get(t.env, "PATH")), "/bin");
}

static void
what_it_says_of_its_walls_arrives_and_is_the_default_if_it_says_nothing(void **state)
{
    static const char more[] = "{\"seccomp\":\"debug\",\"userNamespaces\":true,"
                               "\"writableLayer\":\"disk\",\"cpuShares\":2048,\"ioMBps\":20,";
    AUTO_TEMPLATE struct template t = { 0 };
    AUTO_TEMPLATE struct template plain = { 0 };
    struct err e = { 0 };
    char text[2048];

    (void)state;
    int n = snprintf(text, sizeof text, "%s%s", more, &BASE[1]);
    assert_int_equal(template_parse((struct str){ text, (size_t)n }, &t, &e), 0);
    assert_int_equal(t.profile, 2);
    assert_true(t.user_namespaces && t.disk_file);
    assert_int_equal(t.cpu_shares, 2048);
    assert_int_equal(t.io_mib_per_s, 20);
    assert_int_equal(template_parse(STR(BASE), &plain, &e), 0);
    assert_int_equal(plain.profile, 0);
    assert_false(plain.user_namespaces || plain.disk_file);
    assert_int_equal(plain.cpu_shares, 0);
    assert_int_equal(plain.io_mib_per_s, 0);
}

/* Replaces the first `from` in BASE and expects a refusal whose text has `field`. */
static void refuses(const char *from, const char *to, const char *field)
{
    struct template t = { 0 };
    struct err e = { 0 };
    char text[2048];
    const char *at = strstr(BASE, from);

    assert_non_null(at);
    int n =
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - BASE), BASE, to, at + strlen(from));
    assert_int_equal(template_parse((struct str){ text, (size_t)n }, &t, &e), -EINVAL);
    if (!strstr(e.text, field))
        fail_msg("'%s' does not name '%s'", e.text, field);
}

static void a_wrong_field_is_refused_by_name(void **state)
{
    (void)state;
    refuses("\"base\"", "\"../base\"", "name");
    refuses("\"base\"", "\"\"", "name");
    refuses("\"base\"", "7", "name");
    refuses("\"debian\"", "\"De\"", "aliases");
    refuses("00ff", "00fg", "digest");
    refuses("00ff", "00f", "digest");
    refuses("2026-01-02T", "2026-01-02 at ", "createdAt");
    refuses("4096", "0", "bytes");
    refuses("\"cpuCount\":2", "\"cpuCount\":0", "cpuCount");
    refuses("\"memoryMB\":512", "\"memoryMB\":63", "memoryMB");
    refuses("1024", "70000", "diskSizeMB");
    refuses("89ab-cdef", "89abcdef-", "buildID");
    refuses("\"/home/user\"", "\"home\"", "workdir");
    refuses("\"/bin\"", "1", "env");
    refuses("\"bytes\":4096,", "", "bytes");
    refuses("{", "{\"seccomp\":\"off\",", "seccomp");
    refuses("{", "{\"seccomp\":1,", "seccomp");
    refuses("{", "{\"writableLayer\":\"ssd\",", "writableLayer");
    refuses("{", "{\"userNamespaces\":1,", "userNamespaces");
    refuses("{", "{\"cpuShares\":1,", "cpuShares");
    refuses("{", "{\"ioMBps\":0,", "ioMBps");
}

static void a_template_is_found_by_name_and_by_alias(void **state)
{
    AUTO_TEMPLATE struct template t = { 0 };
    AUTO_TEMPLATE struct template u = { 0 };
    struct template none = { 0 };
    struct err e = { 0 };

    (void)state;
    put("base.json", BASE);
    put("other.json", "{\"name\":\"other\",\"aliases\":[\"x\"]," REST);
    assert_int_equal(template_find(dir_fd, STR("base"), &t, &e), 0);
    assert_string_equal(t.name, "base");
    assert_int_equal(template_find(dir_fd, STR("x"), &u, &e), 0);
    assert_string_equal(u.name, "other");
    assert_int_equal(template_find(dir_fd, STR("y"), &none, &e), -ENOENT);
    assert_int_equal(template_find(dir_fd, STR("../base"), &none, &e), -ENOENT);
    assert_int_equal(template_find(dir_fd, STR(""), &none, &e), -ENOENT);
}

static void a_file_that_is_a_link_or_a_pipe_or_too_big_is_not_read(void **state)
{
    struct template t = { 0 };
    struct err e = { 0 };
    AUTO_FREE char *big = malloc(TEMPLATE_FILE_MAX + 2);

    (void)state;
    assert_non_null(big);
    memset(big, ' ', TEMPLATE_FILE_MAX + 1);
    big[TEMPLATE_FILE_MAX + 1] = 0;
    put("base.json", BASE);
    put("big.json", big);
    assert_int_equal(symlinkat("base.json", dir_fd, "link.json"), 0);
    assert_int_equal(mkfifoat(dir_fd, "pipe.json", 0644), 0);
    assert_int_equal(template_find(dir_fd, STR("link"), &t, &e), -ELOOP);
    assert_int_equal(template_find(dir_fd, STR("pipe"), &t, &e), -EINVAL);
    assert_int_equal(template_find(dir_fd, STR("big"), &t, &e), -EFBIG);
}

static void a_file_under_another_name_than_its_own_is_refused(void **state)
{
    struct template t = { 0 };
    struct err e = { 0 };

    (void)state;
    put("a.json", BASE);
    assert_int_equal(template_find(dir_fd, STR("a"), &t, &e), -EINVAL);
}

static int append_name(const struct template *t, void *arg)
{
    char *all = arg;
    size_t n = strlen(all);
    (void)snprintf(all + n, 64 - n, "%s ", t->name);
    return 0;
}

static void count_bad(const char *file, const struct err *why, void *arg)
{
    char *all = arg;
    size_t n = strlen(all);
    assert_true(why->code == EINVAL);
    (void)snprintf(all + n, 64 - n, "!%s ", file);
}

static void the_list_is_sorted_and_survives_a_broken_file(void **state)
{
    char all[64] = "";
    struct err e = { 0 };

    (void)state;
    put("other.json", "{\"name\":\"other\"," REST);
    put("broken.json", "{");
    put("base.json", BASE);
    put("notes.txt", "not a template");
    assert_int_equal(template_each(dir_fd, append_name, count_bad, all, &e), 0);
    assert_string_equal(all, "base !broken other ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_metadata_file_arrives),
        cmocka_unit_test(
            what_it_says_of_its_walls_arrives_and_is_the_default_if_it_says_nothing),
        cmocka_unit_test(a_wrong_field_is_refused_by_name),
        cmocka_unit_test_teardown(a_template_is_found_by_name_and_by_alias, empty_dir),
        cmocka_unit_test_teardown(a_file_that_is_a_link_or_a_pipe_or_too_big_is_not_read,
                                  empty_dir),
        cmocka_unit_test_teardown(a_file_under_another_name_than_its_own_is_refused, empty_dir),
        cmocka_unit_test_teardown(the_list_is_sorted_and_survives_a_broken_file, empty_dir),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
