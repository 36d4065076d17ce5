/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "envd/users.h"

static const char PASSWD[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "# a comment\n"
                             "short:x:7:7\n"
                             "user:x:1000:1001:The User,,,:/home/user:/bin/zsh\n"
                             "userling:x:1002:1002::/home/userling:/bin/sh\n"
                             "negative:x:-1:0::/:/bin/sh\n"
                             "huge:x:4294967295:0::/:/bin/sh\n"
                             "homeless:x:1005:1005:::\n"
                             "many:x:1006:1006:::/bin/sh:more\n"
                             "last:x:1007:1007::/home/last:/bin/sh";
static const char GROUP[] = "root:x:0:\n"
                            "sudo:x:27:user,other\n"
                            "user:x:1001:\n"
                            "docker:x:999:other, user\n"
                            "again:x:27:user\n"
                            "broken:x:user\n"
                            "users:x:100:userling\n";

static struct users files;
static struct user who;

static int setup(void **state)
{
    (void)state;
    users_from_text(&files, STR(PASSWD), STR(GROUP));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    users_fini(&files);
    return 0;
}

static void user_is_found_by_name_with_all_fields(void **state)
{
    (void)state;
    assert_int_equal(users_by_name(&files, STR("user"), &who), 0);
    assert_int_equal(who.uid, 1000);
    assert_int_equal(who.gid, 1001);
    assert_string_equal(who.home, "/home/user");
    assert_string_equal(who.shell, "/bin/zsh");
    assert_int_equal(users_by_name(&files, STR("last"), &who), 0);
    assert_string_equal(who.shell, "/bin/sh");
}

static void name_must_match_whole(void **state)
{
    (void)state;
    assert_int_equal(users_by_name(&files, STR("use"), &who), -ENOENT);
    assert_int_equal(users_by_name(&files, STR("user:x"), &who), -ENOENT);
    assert_int_equal(users_by_name(&files, STR(""), &who), -ENOENT);
    assert_int_equal(users_by_name(&files, STR("userling"), &who), 0);
    assert_int_equal(who.uid, 1002);
}

static void malformed_lines_are_nobody(void **state)
{
    (void)state;
    static const char *const none[] = { "short", "negative", "huge", "many", "# a comment" };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(users_by_name(&files, str_from(none[i]), &who), -ENOENT);
}

static void missing_home_and_shell_get_safe_ones(void **state)
{
    (void)state;
    assert_int_equal(users_by_name(&files, STR("homeless"), &who), 0);
    assert_string_equal(who.home, "/");
    assert_string_equal(who.shell, "/bin/sh");
}

static void groups_are_the_primary_and_each_membership_once(void **state)
{
    (void)state;
    assert_int_equal(users_by_name(&files, STR("user"), &who), 0);
    assert_int_equal(who.n_groups, 3);
    assert_int_equal(who.group[0], 1001);
    assert_int_equal(who.group[1], 27);
    assert_int_equal(who.group[2], 999);
}

static void membership_is_by_list_or_primary_group(void **state)
{
    (void)state;
    assert_int_equal(users_by_name(&files, STR("user"), &who), 0);
    assert_true(users_in_group(&files, &who, STR("sudo")));
    assert_true(users_in_group(&files, &who, STR("user")));
    assert_false(users_in_group(&files, &who, STR("users")));
    assert_false(users_in_group(&files, &who, STR("nothing")));
    assert_int_equal(users_by_name(&files, STR("userling"), &who), 0);
    assert_false(users_in_group(&files, &who, STR("sudo")));
}

static void root_exists_without_any_file(void **state)
{
    (void)state;
    AUTO_USERS struct users none;
    users_from_text(&none, STR(""), STR(""));
    assert_int_equal(users_by_name(&none, STR("root"), &who), 0);
    assert_string_equal(who.home, "/root");
    assert_int_equal(users_by_uid(&none, 0, &who), 0);
    assert_int_equal(users_by_uid(&none, 1000, &who), -ENOENT);
    assert_string_equal(users_uid_name(&none, 0), "root");
}

static void ids_become_names_or_digits(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        assert_string_equal(users_uid_name(&files, 1000), "user");
        assert_string_equal(users_uid_name(&files, 1000), "user");
        assert_string_equal(users_uid_name(&files, 4242), "4242");
        assert_string_equal(users_gid_name(&files, 27), "sudo");
        assert_string_equal(users_gid_name(&files, 4242), "4242");
    }
}

static void membership_in_more_groups_than_we_honour_is_cut(void **state)
{
    (void)state;
    AUTO_BUF struct buf group = BUF_INIT(65536);
    AUTO_USERS struct users many;
    for (unsigned i = 0; i < 2 * USER_GROUPS_MAX; i++)
        buf_addf(&group, "g%u:x:%u:root\n", i, 500 + i);
    users_from_text(&many, STR(PASSWD), buf_str(&group));
    assert_int_equal(users_by_name(&many, STR("root"), &who), 0);
    assert_int_equal(who.n_groups, USER_GROUPS_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(user_is_found_by_name_with_all_fields),
        T(name_must_match_whole),
        T(malformed_lines_are_nobody),
        T(missing_home_and_shell_get_safe_ones),
        T(groups_are_the_primary_and_each_membership_once),
        T(membership_is_by_list_or_primary_group),
        T(root_exists_without_any_file),
        T(ids_become_names_or_digits),
        T(membership_in_more_groups_than_we_honour_is_cut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
