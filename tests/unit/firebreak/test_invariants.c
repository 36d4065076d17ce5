/* SPDX-License-Identifier: Apache-2.0 */
/* The rules on what a look could see and a test can hardly plant on a live instance: tests/e2e/t71 plants the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "firebreak/invariants.h"

#define BASE    1000000000u
#define ID      "iaaaaaaaaaaaaaaaaaaa"
#define MONITOR (BASE + UIDS_PER_SANDBOX - 1)

/* One sandbox in slot 0, as it should be. The processes: warden, monitor, envd. */
struct world {
    struct sight s;
    struct sight_process process[4];
    struct sight_record record[1];
    struct sight_group group[3];
    struct sight_row row[1];
    struct sight_interface interface[2];
    struct sight_element element[3];
};

static void put_in_groups(struct sight_process *p)
{
    (void)snprintf(p->group[HIERARCHY_MEMORY], sizeof p->group[0], "%s", ID);
    (void)snprintf(p->group[HIERARCHY_FREEZER], sizeof p->group[0], "%s", ID);
}

static void make(struct world *w)
{
    *w = (struct world){ .s = { .uid_base = BASE,
                                .max_sandboxes = 4,
                                .host_netns = 1,
                                .registry_read = true,
                                .n_images = 1 } };
    w->process[0] = (struct sight_process){ .pid = 10,
                                            .role = ROLE_WARDEN,
                                            .name = "warden",
                                            .state = 'S',
                                            .n_pid_namespaces = 1,
                                            .no_new_privs = true,
                                            .filtered = true,
                                            .caps = 0xe3,
                                            .netns = 1,
                                            .n_fds = 20 };
    w->process[1] = (struct sight_process){ .pid = 11,
                                            .parent = 10,
                                            .role = ROLE_MONITOR,
                                            .name = "jailmon",
                                            .state = 'S',
                                            .uid = { MONITOR, MONITOR, MONITOR, MONITOR },
                                            .n_pid_namespaces = 1,
                                            .no_new_privs = true,
                                            .filtered = true,
                                            .netns = 7,
                                            .n_fds = 20 };
    w->process[2] = (struct sight_process){ .pid = 12,
                                            .parent = 11,
                                            .role = ROLE_SANDBOX,
                                            .name = "envd",
                                            .state = 'S',
                                            .uid = { BASE, BASE, BASE, BASE },
                                            .n_pid_namespaces = 2,
                                            .no_new_privs = true,
                                            .filtered = true,
                                            .netns = 7 };
    put_in_groups(&w->process[1]);
    put_in_groups(&w->process[2]);
    w->record[0] = (struct sight_record){ .slot = 0, .id = ID, .readable = true };
    w->group[0] = (struct sight_group){ HIERARCHY_MEMORY, ID };
    w->group[1] = (struct sight_group){ HIERARCHY_FREEZER, ID };
    w->row[0] = (struct sight_row){ ID, ROW_RUNNING };
    w->s.process.at = w->process;
    w->s.process.n = 3;
    w->s.record.at = w->record;
    w->s.record.n = 1;
    w->s.group.at = w->group;
    w->s.group.n = 2;
    w->s.row.at = w->row;
    w->s.row.n = 1;
}

/* Exactly this invariant does not hold; NULL: all hold. */
static void expect(const struct world *w, const char *id)
{
    struct findings f = { 0 };

    invariants_check(&w->s, false, &f);
    for (size_t i = 0; i < f.n; i++)
        assert_string_equal(invariants[f.at[i].invariant].id, id ? id : f.at[i].evidence);
    assert_int_equal(f.n > 0, id != NULL);
    findings_fini(&f);
}

static void what_is_as_it_should_be_is_no_violation(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    expect(&w, NULL);
}

/* The sandbox has a network: its interface is there, and the packet table knows it. */
static void make_networked(struct world *w)
{
    make(w);
    w->process[1].has_network = true;
    w->interface[0] = (struct sight_interface){ "fb0a0a0a.0", ID };
    w->interface[1] = (struct sight_interface){ "fb0a0a0a.1", ID };
    w->element[0] = (struct sight_element){ "src", "fb0a0a0a.0", 5 };
    w->element[1] = (struct sight_element){ "down", "", 5 };
    w->element[2] = (struct sight_element){ "open", "", 5 };
    w->s.interface.at = w->interface;
    w->s.interface.n = 1;
    w->s.element.at = w->element;
    w->s.element.n = 3;
    w->s.has_table = true;
}

static void interfaces_and_the_packet_table_are_those_of_the_sandboxes(void **state)
{
    static const struct sight_interface foreign = { "fb0a0a0a.1", "ibbbbbbbbbbbbbbbbbbb" };
    struct world w;

    (void)state;
    make_networked(&w);
    expect(&w, NULL);
    w.s.interface.n = 2; /* a second one of the same sandbox */
    expect(&w, "interface_has_record");
    w.interface[1] = foreign;
    expect(&w, "interface_has_record");
    make_networked(&w);
    w.process[1].has_network = false;
    expect(&w, "network_has_interface");
    make_networked(&w);
    w.s.interface.n = w.s.element.n = 0;
    expect(&w, "network_has_interface");
    w.process[0].netns =
        9; /* an instance in another network namespace: nothing is to be seen of it */
    expect(&w, NULL);
    make_networked(&w);
    w.element[2].addr = 6;
    expect(&w, "element_has_interface");
    w.element[2] = (struct sight_element){ "src", "fb0a0a0a.1", 6 };
    expect(&w, "element_has_interface");
    make_networked(&w);
    w.s.element.n = 1; /* no way back */
    expect(&w, "interface_has_element");
    w.s.element.n = 0;
    expect(&w, "interface_has_element");
    w.s.has_table = false;
    expect(&w, "interface_has_element");
}

static void descriptors_grow_with_sandboxes_and_not_otherwise(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    w.process[0].n_fds = 67; /* 64, one image, one sandbox */
    expect(&w, NULL);
    w.process[0].n_fds = 68;
    expect(&w, "descriptors_bounded");
    w.process[0].n_fds = 20;
    w.process[1].n_fds = 49;
    expect(&w, "descriptors_bounded");
}

static void each_thing_that_a_daemon_must_drop_is_seen(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    w.process[0].caps |= UINT64_C(1) << 12; /* CAP_NET_ADMIN */
    expect(&w, "daemon_posture");
    make(&w);
    w.process[1].caps = 1;
    expect(&w, "daemon_posture");
    make(&w);
    w.process[1].filtered = false;
    expect(&w, "daemon_posture");
    make(&w);
    w.process[1].no_new_privs = false;
    expect(&w, "daemon_posture");
}

static void a_monitor_is_out_of_the_v1_freezer_only_where_there_is_no_v2(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    w.process[1].group[HIERARCHY_FREEZER][0] = '\0';
    expect(&w, NULL);
    w.group[2] = (struct sight_group){ HIERARCHY_V2, ID };
    w.s.group.n = 3;
    for (size_t i = 1; i < w.s.process.n; i++)
        (void)snprintf(w.process[i].group[HIERARCHY_V2], sizeof w.process[i].group[0], "%s",
                       ID);
    expect(&w, "process_in_place");
    make(&w);
    w.process[2].group[HIERARCHY_FREEZER][0] =
        '\0'; /* what can leave the freezer cannot be frozen */
    expect(&w, "process_in_place");
}

static void sandboxes_of_the_pool_need_no_row_and_no_more_than_there_are(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    w.process[3] = w.process[0];
    w.process[3].pid = 13;
    w.process[3].role = ROLE_API;
    w.process[3].caps = 0;
    for (size_t i = 0; i < 4; i++)
        w.process[3].uid[i] = 65532;
    w.s.process.n = 4;
    w.s.row.n = 0;
    expect(&w, "record_has_row");
    w.s.pooled = 1;
    expect(&w, NULL);
    w.s.pooled = 0;
    expect(&w, "record_has_row");
}

static void any_of_the_four_uids_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        make(&w);
        w.process[2].uid[i] = BASE + UIDS_PER_SANDBOX; /* of slot 1 */
        expect(&w, "uids_of_one");
        make(&w);
        w.process[2].uid[i] = 0; /* of the host */
        expect(&w, "uids_of_one");
    }
}

static void two_monitors_are_one_too_many(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    w.process[2] = w.process[1];
    w.process[2].pid = 13;
    expect(&w, "record_has_monitor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_as_it_should_be_is_no_violation),
        cmocka_unit_test(interfaces_and_the_packet_table_are_those_of_the_sandboxes),
        cmocka_unit_test(descriptors_grow_with_sandboxes_and_not_otherwise),
        cmocka_unit_test(each_thing_that_a_daemon_must_drop_is_seen),
        cmocka_unit_test(a_monitor_is_out_of_the_v1_freezer_only_where_there_is_no_v2),
        cmocka_unit_test(sandboxes_of_the_pool_need_no_row_and_no_more_than_there_are),
        cmocka_unit_test(any_of_the_four_uids_counts),
        cmocka_unit_test(two_monitors_are_one_too_many),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
