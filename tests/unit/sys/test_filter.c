/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/auto.h"
#include "sys/filter.h"

#define EPERM_RET  (SECCOMP_RET_ERRNO | EPERM)
#define ENOSYS_RET (SECCOMP_RET_ERRNO | ENOSYS)
#define REPORT     SECCOMP_RET_USER_NOTIF
#define HIGH       UINT64_C(0xdead00000000) /* bits that are not part of an int */

static struct filter workload, strict, debug, namespaces, monitor, warden, api;

static int build(void **state)
{
    (void)state;
    filter_build(&workload, FILTER_WORKLOAD);
    filter_build(&strict, FILTER_STRICT);
    filter_build(&debug, FILTER_DEBUG);
    filter_build_with(&namespaces, FILTER_WORKLOAD, FILTER_NAMESPACES);
    filter_build(&monitor, FILTER_MONITOR);
    filter_build(&warden, FILTER_WARDEN);
    filter_build(&api, FILTER_API);
    return 0;
}

static unsigned ask(const struct filter *f, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct seccomp_data d = { .nr = (int)nr,
                              .arch = AUDIT_ARCH_X86_64,
                              .args = { a0, a1, a2, 0, 0, 0 } };
    return filter_run(f, &d);
}

static void foreign_architectures_are_killed(void **state)
{
    (void)state;
    struct seccomp_data d = { .nr = 20, .arch = AUDIT_ARCH_I386 };
    assert_int_equal(filter_run(&workload, &d), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(filter_run(&monitor, &d), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(ask(&workload, 0x40000000 | SYS_read, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

static void every_listed_call_is_allowed_and_its_unlisted_neighbours_are_not(void **state)
{
    (void)state;
    static const int listed[] = {
#define X(name)              SYS_##name,
#define SYS_cachestat        451
#define SYS_fchmodat2        452
#define SYS_map_shadow_stack 453
#define SYS_futex_wake       454
#define SYS_futex_wait       455
#define SYS_futex_requeue    456
#include "sys/syscalls_workload.h"
#undef X
    };
    static const int checked[] = { SYS_clone, SYS_socket,  SYS_ioctl,
                                   SYS_mknod, SYS_mknodat, SYS_personality };
    unsigned char kind[600] = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(listed); i++)
        kind[listed[i]] = 1;
    for (size_t i = 0; i < ARRAY_LEN(checked); i++)
        kind[checked[i]] = 2;
    for (int nr = 0; nr < 600; nr++) {
        unsigned got = ask(&workload, nr, 0, 0, 0);
        if (kind[nr] == 1)
            assert_int_equal(got, SECCOMP_RET_ALLOW);
        else if (kind[nr] == 0 && filter_tripwire_name(nr))
            assert_int_equal(got, REPORT);
        else if (kind[nr] == 0 && (nr == SYS_clone3 || nr > 462))
            assert_int_equal(got, ENOSYS_RET);
        else if (kind[nr] == 0)
            assert_int_equal(got, EPERM_RET);
    }
}

static void the_calls_that_made_escapes_are_refused(void **state)
{
    (void)state;
    static const int forbidden[] = { SYS_mount,
                                     SYS_umount2,
                                     SYS_move_mount,
                                     SYS_open_tree,
                                     SYS_fsopen,
                                     SYS_mount_setattr,
                                     SYS_pivot_root,
                                     SYS_unshare,
                                     SYS_setns,
                                     SYS_chroot,
                                     SYS_ptrace,
                                     SYS_process_vm_readv,
                                     SYS_process_vm_writev,
                                     SYS_bpf,
                                     SYS_perf_event_open,
                                     SYS_userfaultfd,
                                     SYS_io_uring_setup,
                                     SYS_io_uring_enter,
                                     SYS_io_uring_register,
                                     SYS_keyctl,
                                     SYS_add_key,
                                     SYS_request_key,
                                     SYS_open_by_handle_at,
                                     SYS_name_to_handle_at,
                                     SYS_pidfd_getfd,
                                     SYS_kexec_load,
                                     SYS_init_module,
                                     SYS_finit_module,
                                     SYS_reboot,
                                     SYS_swapon,
                                     SYS_syslog,
                                     SYS_kcmp,
                                     SYS_iopl,
                                     SYS_ioperm,
                                     SYS_modify_ldt,
                                     SYS_fanotify_init,
                                     SYS_sethostname,
                                     SYS_settimeofday,
                                     SYS_acct };
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        assert_int_equal(ask(&workload, forbidden[i], 0, 0, 0),
                         filter_tripwire_name(forbidden[i]) ? REPORT : EPERM_RET);
}

static void tripwires_are_reported_in_every_profile_and_none_is_allowed(void **state)
{
    const struct filter *const profile[] = { &workload, &strict, &debug };
    size_t n = 0;

    (void)state;
    for (; filter_tripwire_at(n) >= 0; n++) {
        int nr = filter_tripwire_at(n);
        uint64_t flags = nr == SYS_clone ? CLONE_NEWUSER | 17 : 0;
        for (size_t i = 0; i < ARRAY_LEN(profile); i++)
            assert_int_equal(ask(profile[i], nr, flags, 0, 0), REPORT);
        assert_non_null(filter_tripwire_name(nr));
    }
    assert_int_equal(n, 27);
    assert_null(filter_tripwire_name(SYS_read));
}

static void profiles_differ_in_what_they_say_and_in_nothing_else(void **state)
{
    static const int less[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_strict.h"
#undef X
    };
    unsigned char removed[600] = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(less); i++) {
        removed[less[i]] = 1;
        assert_int_equal(ask(&workload, less[i], 0, 0, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(ask(&strict, less[i], 0, 0, 0), EPERM_RET);
    }
    for (int nr = 0; nr < 600; nr++) {
        unsigned base = ask(&workload, nr, 0, 0, 0);
        bool watches =
            nr == SYS_ptrace || nr == SYS_process_vm_readv || nr == SYS_process_vm_writev;
        if (!removed[nr])
            assert_int_equal(ask(&strict, nr, 0, 0, 0), base);
        assert_int_equal(ask(&debug, nr, 0, 0, 0), watches ? SECCOMP_RET_ALLOW : base);
    }
    assert_int_equal(ask(&strict, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), EPERM_RET);
    assert_int_equal(ask(&strict, SYS_socket, AF_UNIX, SOCK_STREAM, 0), SECCOMP_RET_ALLOW);
}

static void namespaces_are_made_only_with_the_option(void **state)
{
    static const int more[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_namespaces.h"
#undef X
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        assert_int_not_equal(ask(&workload, more[i], 0, 0, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(ask(&namespaces, more[i], 0, 0, 0), SECCOMP_RET_ALLOW);
    }
    assert_int_equal(ask(&namespaces, SYS_clone, CLONE_NEWUSER | CLONE_NEWNS, 0, 0),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&namespaces, SYS_clone3, 0, 0, 0), ENOSYS_RET);
    assert_int_equal(ask(&namespaces, SYS_bpf, 0, 0, 0), REPORT);
    assert_int_equal(ask(&namespaces, SYS_keyctl, 0, 0, 0), REPORT);
}

static void clone_makes_processes_and_threads_but_no_namespace(void **state)
{
    (void)state;
    static const uint64_t ns[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                   CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP };

    assert_int_equal(ask(&workload, SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0),
                     SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < ARRAY_LEN(ns); i++) {
        unsigned want = ns[i] == CLONE_NEWUSER ? REPORT : EPERM_RET;
        assert_int_equal(ask(&workload, SYS_clone, ns[i] | 17, 0, 0), want);
        assert_int_equal(ask(&workload, SYS_clone, HIGH | ns[i], 0, 0), want);
    }
}

static void sockets_are_unix_inet_and_route_netlink_only(void **state)
{
    (void)state;
    for (uint64_t family = 0; family < 64; family++) {
        bool ok = family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
                  family == AF_NETLINK;
        unsigned want = ok ? SECCOMP_RET_ALLOW : EPERM_RET;
        assert_int_equal(ask(&workload, SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         want);
        assert_int_equal(ask(&workload, SYS_socket, HIGH | family, SOCK_STREAM, 0), want);
    }
    assert_int_equal(ask(&workload, SYS_socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0),
                     SECCOMP_RET_ALLOW);
    for (unsigned protocol = 0; protocol < 300; protocol++) {
        bool ok = protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
                  protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
        unsigned want = ok ? SECCOMP_RET_ALLOW : EPERM_RET;
        assert_int_equal(ask(&workload, SYS_socket, AF_INET, SOCK_STREAM, protocol), want);
        assert_int_equal(ask(&workload, SYS_socket, AF_INET6, SOCK_DGRAM, HIGH | protocol),
                         want);
        assert_int_equal(ask(&workload, SYS_socket, AF_INET, SOCK_SEQPACKET, protocol),
                         EPERM_RET);
        assert_int_equal(ask(&workload, SYS_socket, AF_UNIX, SOCK_STREAM, protocol),
                         SECCOMP_RET_ALLOW);
    }
    assert_int_equal(ask(&workload, SYS_socket, AF_NETLINK, SOCK_RAW, 0), SECCOMP_RET_ALLOW);
    for (unsigned protocol = 1; protocol < 32; protocol++)
        assert_int_equal(ask(&workload, SYS_socket, AF_NETLINK, SOCK_RAW, protocol), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_socket, AF_INET, SOCK_RAW, 1), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_socket, AF_INET6, SOCK_RAW, 58), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&workload, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
                     EPERM_RET);
    assert_int_equal(ask(&workload, SYS_socket, AF_NETLINK, SOCK_RAW, HIGH | NETLINK_NETFILTER),
                     EPERM_RET);
}

static void terminal_injection_is_refused_also_with_high_bits(void **state)
{
    (void)state;
    assert_int_equal(ask(&workload, SYS_ioctl, 0, TIOCSTI, 0), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_ioctl, 0, HIGH | TIOCSTI, 0), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_ioctl, 0, TIOCLINUX, 0), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_ioctl, 0, TIOCGWINSZ, 0), SECCOMP_RET_ALLOW);
}

static void device_nodes_are_refused_and_fifos_are_not(void **state)
{
    (void)state;
    assert_int_equal(ask(&workload, SYS_mknodat, 0, 0, S_IFBLK | 0600), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_mknodat, 0, 0, S_IFCHR | 0600), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_mknodat, 0, 0, S_IFIFO | 0600), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&workload, SYS_mknod, 0, HIGH | S_IFBLK, 0), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_mknod, 0, 0600, 0), SECCOMP_RET_ALLOW);
}

static void personality_cannot_switch_randomisation_off(void **state)
{
    (void)state;
    assert_int_equal(ask(&workload, SYS_personality, 0x0040000, 0, 0), EPERM_RET);
    assert_int_equal(ask(&workload, SYS_personality, 0xffffffff, 0, 0), SECCOMP_RET_ALLOW);
}

static void monitor_can_neither_execute_nor_open_nor_fork(void **state)
{
    (void)state;
    static const int forbidden[] = { SYS_execve,  SYS_execveat, SYS_open,   SYS_openat,
                                     SYS_openat2, SYS_fork,     SYS_vfork,  SYS_clone,
                                     SYS_clone3,  SYS_kill,     SYS_ptrace, SYS_setuid,
                                     SYS_mount,   SYS_unlink };
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        assert_int_equal(ask(&monitor, forbidden[i], 0, 0, 0), EPERM_RET);
    assert_int_equal(ask(&monitor, SYS_socket, AF_INET, SOCK_STREAM, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&monitor, SYS_socket, AF_UNIX, SOCK_STREAM, 0), EPERM_RET);
    assert_int_equal(ask(&monitor, SYS_prctl, PR_GET_SECCOMP, 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&monitor, SYS_prctl, PR_SET_DUMPABLE, 1, 0), EPERM_RET);
    assert_int_equal(ask(&monitor, SYS_ioctl, 9, SECCOMP_IOCTL_NOTIF_SEND, 0),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&monitor, SYS_ioctl, 9, SECCOMP_IOCTL_NOTIF_ADDFD, 0), EPERM_RET);
    assert_int_equal(ask(&monitor, SYS_ioctl, 9, TIOCSTI, 0), EPERM_RET);
}

static void api_makes_threads_but_no_process_and_unix_sockets_only(void **state)
{
    (void)state;
    static const int refused[] = { SYS_execve,    SYS_execveat, SYS_fork,    SYS_vfork,
                                   SYS_kill,      SYS_ptrace,   SYS_setuid,  SYS_mount,
                                   SYS_bind,      SYS_listen,   SYS_unshare, SYS_memfd_create,
                                   SYS_pidfd_open };
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(ask(&api, refused[i], 0, 0, 0), EPERM_RET);
    assert_int_equal(ask(&api, SYS_clone, thread, 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&api, SYS_clone, 17, 0, 0), EPERM_RET);
    assert_int_equal(ask(&api, SYS_clone, thread | CLONE_NEWUSER, 0, 0), EPERM_RET);
    assert_int_equal(ask(&api, SYS_clone3, 0, 0, 0), ENOSYS_RET);
    assert_int_equal(ask(&api, SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&api, SYS_socket, AF_INET, SOCK_STREAM, 0), EPERM_RET);
}

static void netd_speaks_internet_and_netlink_and_opens_nothing(void **state)
{
    (void)state;
    static struct filter netd;
    static const int refused[] = { SYS_execve, SYS_open,  SYS_openat, SYS_clone,     SYS_fork,
                                   SYS_setuid, SYS_setns, SYS_mount,  SYS_unshare,   SYS_ptrace,
                                   SYS_chroot, SYS_kill,  SYS_bpf,    SYS_pidfd_open };

    filter_build(&netd, FILTER_NETD);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(ask(&netd, refused[i], 0, 0, 0), EPERM_RET);
    assert_int_equal(ask(&netd, SYS_socket, AF_INET, SOCK_STREAM, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&netd, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&netd, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&netd, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT), EPERM_RET);
    assert_int_equal(ask(&netd, SYS_socket, AF_PACKET, SOCK_RAW, 0), EPERM_RET);
    assert_int_equal(ask(&netd, SYS_socket, AF_UNIX, SOCK_STREAM, 0), EPERM_RET);
}

static void tlsd_has_the_sockets_that_it_was_given_and_opens_nothing(void **state)
{
    (void)state;
    static struct filter tlsd;
    static const int refused[] = { SYS_execve, SYS_open,  SYS_openat,  SYS_clone,  SYS_fork,
                                   SYS_socket, SYS_bind,  SYS_connect, SYS_listen, SYS_accept4,
                                   SYS_setuid, SYS_ioctl, SYS_mount,   SYS_unlink, SYS_ptrace,
                                   SYS_kill,   SYS_prctl };

    filter_build(&tlsd, FILTER_TLSD);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(ask(&tlsd, refused[i], 0, 0, 0), EPERM_RET);
    assert_int_equal(ask(&tlsd, SYS_recvmsg, 3, 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&tlsd, SYS_sendto, 3, 0, 0), SECCOMP_RET_ALLOW);
}

/* What is a tripwire inside is refused by a report that nobody hears: an errno of this filter,
 * which the sandbox inherits, would win over the report. */
static void warden_cannot_load_code_into_the_kernel_nor_use_keys(void **state)
{
    (void)state;
    static const int muted[] = { SYS_bpf,        SYS_init_module,     SYS_finit_module,
                                 SYS_kexec_load, SYS_perf_event_open, SYS_io_uring_setup,
                                 SYS_add_key };
    static const int refused[] = { SYS_reboot, SYS_delete_module, SYS_pidfd_getfd, SYS_swapon };
    static const int needed[] = { SYS_clone3,        SYS_mount,    SYS_open_tree,
                                  SYS_mount_setattr, SYS_execveat, SYS_sendmsg };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(ask(&warden, refused[i], 0, 0, 0), EPERM_RET);
    for (size_t i = 0; i < ARRAY_LEN(muted); i++)
        assert_int_equal(ask(&warden, muted[i], 0, 0, 0), REPORT);
    assert_int_equal(ask(&warden, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0),
                     SECCOMP_RET_ALLOW);
    assert_int_equal(ask(&warden, SYS_keyctl, KEYCTL_READ, 0, 0), REPORT);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        assert_int_equal(ask(&warden, needed[i], 0, 0, 0), SECCOMP_RET_ALLOW);
    struct seccomp_data d = { .nr = 20, .arch = AUDIT_ARCH_I386 };
    assert_int_equal(filter_run(&warden, &d), SECCOMP_RET_KILL_PROCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_architectures_are_killed),
        cmocka_unit_test(every_listed_call_is_allowed_and_its_unlisted_neighbours_are_not),
        cmocka_unit_test(the_calls_that_made_escapes_are_refused),
        cmocka_unit_test(clone_makes_processes_and_threads_but_no_namespace),
        cmocka_unit_test(sockets_are_unix_inet_and_route_netlink_only),
        cmocka_unit_test(terminal_injection_is_refused_also_with_high_bits),
        cmocka_unit_test(device_nodes_are_refused_and_fifos_are_not),
        cmocka_unit_test(personality_cannot_switch_randomisation_off),
        cmocka_unit_test(api_makes_threads_but_no_process_and_unix_sockets_only),
        cmocka_unit_test(tlsd_has_the_sockets_that_it_was_given_and_opens_nothing),
        cmocka_unit_test(netd_speaks_internet_and_netlink_and_opens_nothing),
        cmocka_unit_test(warden_cannot_load_code_into_the_kernel_nor_use_keys),
        cmocka_unit_test(tripwires_are_reported_in_every_profile_and_none_is_allowed),
        cmocka_unit_test(profiles_differ_in_what_they_say_and_in_nothing_else),
        cmocka_unit_test(namespaces_are_made_only_with_the_option),
        cmocka_unit_test(monitor_can_neither_execute_nor_open_nor_fork),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, build, NULL);
}
