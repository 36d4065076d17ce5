/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/assert.h"
#include "base/auto.h"

#ifndef __x86_64__
#error "the filter's architecture check and call numbers are for x86_64"
#endif

/* Calls that are younger than Debian 12's headers. */
#define NR_cachestat        451
#define NR_fchmodat2        452
#define NR_map_shadow_stack 453
#define NR_futex_wake       454
#define NR_futex_wait       455
#define NR_futex_requeue    456
#ifndef SYS_cachestat
#define SYS_cachestat NR_cachestat
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 NR_fchmodat2
#endif
#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack NR_map_shadow_stack
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake NR_futex_wake
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait NR_futex_wait
#endif
#ifndef SYS_futex_requeue
#define SYS_futex_requeue NR_futex_requeue
#endif
#define NEWEST_KNOWN                                                                           \
    462 /* mseal: a number above gets ENOSYS, so that libc tries the older call */
#define NR_LIMIT 512u

#define X32_BIT 0x40000000u

#define ALLOW SECCOMP_RET_ALLOW
#define DENY  (SECCOMP_RET_ERRNO | EPERM)
#define NONE  (SECCOMP_RET_ERRNO | ENOSYS)
#define KILL  SECCOMP_RET_KILL_PROCESS
/* To the listener of the newest filter that says so. There is none of the warden's: ENOSYS. */
#define REPORT SECCOMP_RET_USER_NOTIF

#define CLONE_NEW_ANY                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
     CLONE_NEWPID | CLONE_NEWNET)

static const int workload_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_workload.h"
#undef X
};
static const int strict_refuses[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_strict.h"
#undef X
};
static const int namespace_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_namespaces.h"
#undef X
};
static const int debug_calls[] = { SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev };
static const struct {
    int nr;
    const char *name;
} tripwires[] = {
#define X(name) { SYS_##name, #name },
#include "sys/syscalls_tripwires.h"
#undef X
    { SYS_clone, "clone" } /* with CLONE_NEWUSER: block_clone */
};
static const int api_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_api.h"
#undef X
};
static const int recorder_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_recorder.h"
#undef X
};
static const int shipper_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_shipper.h"
#undef X
};
static const int netd_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_netd.h"
#undef X
};
static const int tlsd_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_tlsd.h"
#undef X
};
static const int monitor_calls[] = {
#define X(name) SYS_##name,
#include "sys/syscalls_monitor.h"
#undef X
};

/* Loading code into the kernel, watching or rewriting other processes, switching the machine,
 * and interfaces with a history of kernel holes: nothing that the warden, a monitor or a
 * sandbox does needs one. An errno here would win over a report to the sandbox's monitor, so
 * what is a tripwire inside is refused by a report that nobody listens to (ENOSYS):
 * warden_mutes. ptrace and process_vm_* are in neither list, since debug profiles have them;
 * they give the warden nothing that /proc/PID/mem does not. */
static const int warden_mutes[] = {
    SYS_bpf,
    SYS_perf_event_open,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_userfaultfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_add_key,
    SYS_request_key,
    SYS_open_by_handle_at,
};
static const int warden_refuses[] = {
    SYS_delete_module, SYS_reboot,        SYS_swapon,        SYS_swapoff,
    SYS_acct,          SYS_quotactl,      SYS_syslog,        SYS_iopl,
    SYS_ioperm,        SYS_modify_ldt,    SYS_kcmp,          SYS_pidfd_getfd,
    SYS_settimeofday,  SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
    SYS_mbind,         SYS_migrate_pages, SYS_move_pages,    SYS_lookup_dcookie,
    SYS_fanotify_init, SYS_vhangup,
};

static void emit(struct filter *f, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    ASSERT(f->n < FILTER_MAX);
    f->insn[f->n++] = (struct sock_filter){ code, jt, jf, k };
}
static void emit_load(struct filter *f, size_t offset)
{
    emit(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}
/* The low half of an argument: all that the kernel looks at where its type is int
 * (little-endian). */
static void emit_load_arg(struct filter *f, unsigned arg)
{
    emit_load(f, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t));
}
static void emit_ret(struct filter *f, uint32_t action)
{
    emit(f, BPF_RET | BPF_K, 0, 0, action);
}
/* if (A == k) return action; */
static void emit_ret_if(struct filter *f, uint32_t k, uint32_t action)
{
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k);
    emit_ret(f, action);
}

struct range {
    uint32_t first, last;
};

/* Jumps are relative and patched when the target is known; more than 255 away is for BPF_JA's
 * 32-bit k. */
static void patch_ja(struct filter *f, unsigned short at)
{
    f->insn[at].k = (uint32_t)(f->n - at - 1);
}

struct misses {
    unsigned short at[160]; /* BPF_JAs to be patched to the code after the tree */
    size_t n;
};

static void emit_miss(struct filter *f, struct misses *m)
{
    ASSERT(m->n < ARRAY_LEN(m->at));
    m->at[m->n++] = f->n;
    emit(f, BPF_JMP | BPF_JA, 0, 0, 0);
}

/* Binary search; the depth is log2 of the number of ranges. */
static void emit_tree(struct filter *f, const struct range *r, size_t n, struct misses *m)
{
    if (n == 1) {
        emit(f, BPF_JMP | BPF_JGE | BPF_K, 0, 2, r->first);
        emit(f, BPF_JMP | BPF_JGT | BPF_K, 1, 0, r->last);
        emit_ret(f, ALLOW);
        emit_miss(f, m);
        return;
    }
    size_t half = n / 2;
    emit(f, BPF_JMP | BPF_JGE | BPF_K, 0, 1, r[half].first);
    unsigned short to_right = f->n;
    emit(f, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(f, r, half, m);
    patch_ja(f, to_right);
    emit_tree(f, r + half, n - half, m);
}

struct call_set {
    bool has[NR_LIMIT];
};

static void set_calls(struct call_set *s, const int *calls, size_t n, bool has)
{
    for (size_t i = 0; i < n; i++) {
        ASSERT(calls[i] >= 0 && (uint32_t)calls[i] < NR_LIMIT);
        s->has[calls[i]] = has;
    }
}

static size_t find_ranges(const struct call_set *s, struct range *out, size_t max)
{
    const bool *allowed = s->has;
    size_t k = 0;

    for (uint32_t nr = 0; nr < NR_LIMIT; nr++) {
        if (!allowed[nr])
            continue;
        if (nr > 0 && allowed[nr - 1]) {
            out[k - 1].last = nr;
            continue;
        }
        ASSERT(k < max);
        out[k++] = (struct range){ nr, nr };
    }
    return k;
}

/* Begins `if (nr == call) { ... }`; the block must end in a return. The returned index goes to
 * end_block. */
static unsigned short begin_block(struct filter *f, uint32_t call)
{
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, call);
    emit(f, BPF_JMP | BPF_JA, 0, 0, 0);
    return (unsigned short)(f->n - 1);
}

static void block_clone(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_clone);
    emit_load_arg(f, 0);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_NEWUSER);
    emit_ret(f, REPORT);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_NEW_ANY);
    emit_ret(f, DENY);
    emit_ret(f, ALLOW);
    patch_ja(f, at);
}

static void block_ioctl(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_ioctl);
    emit_load_arg(f, 1);
    emit_ret_if(f, TIOCSTI, DENY);   /* types into the terminal of whoever looks at it */
    emit_ret_if(f, TIOCLINUX, DENY); /* pastes into the console */
    emit_ret_if(f, 0x5423,
                DENY); /* TIOCSETD: line disciplines are modules with a history of holes */
    emit_ret(f, ALLOW);
    patch_ja(f, at);
}

static void block_personality(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_personality);
    emit_load_arg(f, 0);
    emit_ret_if(f, 0, ALLOW);          /* PER_LINUX */
    emit_ret_if(f, 0xffffffff, ALLOW); /* asks */
    emit_ret(f, DENY);
    patch_ja(f, at);
}

static void block_mknod(struct filter *f, uint32_t call, unsigned mode_arg)
{
    unsigned short at = begin_block(f, call);
    emit_load_arg(f, mode_arg);
    emit(f, BPF_ALU | BPF_AND | BPF_K, 0, 0, S_IFMT);
    emit_ret_if(f, S_IFIFO, ALLOW);
    emit_ret_if(f, S_IFREG, ALLOW);
    emit_ret_if(f, S_IFSOCK, ALLOW);
    emit_ret_if(f, 0, ALLOW); /* means a regular file */
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* 0 is the type's own. Others (MPTCP, SCTP, UDP-Lite, L2TP, SMC) are seldom used code, and asking for them can load modules. */
static const uint32_t inet_protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP,
                                           IPPROTO_ICMPV6 };

static void block_inet_socket(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_socket);
    emit_load_arg(f, 0);
    emit_ret_if(f, AF_INET, ALLOW);
    emit_ret_if(f, AF_INET6, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* UNIX, INET, INET6 streams, datagrams and (UNIX) packets; NETLINK for routes only, which
 * getifaddrs uses, or not at all. Family, type and protocol
 * are ints. */
static void block_socket(struct filter *f, bool netlink)
{
    unsigned short at = begin_block(f, SYS_socket);
    emit_load_arg(f, 0);
    emit_ret_if(f, AF_UNIX, ALLOW);
    if (!netlink)
        emit_ret_if(f, AF_NETLINK, DENY);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, AF_NETLINK);
    emit_load_arg(f, 2);
    emit_ret_if(f, NETLINK_ROUTE, ALLOW);
    emit(f, BPF_JMP | BPF_JA, 0, 0, 11 + ARRAY_LEN(inet_protocols)); /* to the last return */
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, AF_INET);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_INET6);
    emit(f, BPF_JMP | BPF_JA, 0, 0, 8 + ARRAY_LEN(inet_protocols)); /* to the last return */
    emit_load_arg(f, 2);
    for (size_t i = 0; i < ARRAY_LEN(inet_protocols); i++)
        emit(f, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(ARRAY_LEN(inet_protocols) - i), 0,
             inet_protocols[i]);
    emit_ret(f, DENY);
    emit_load_arg(f, 1);
    emit(f, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf); /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
    emit_ret_if(f, SOCK_STREAM, ALLOW);
    emit_ret_if(f, SOCK_DGRAM, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* Threads, but no process. */
static void block_thread(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_clone);
    emit_load_arg(f, 0);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_NEW_ANY);
    emit_ret(f, DENY);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_THREAD);
    emit_ret(f, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

static void block_unix_socket(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_socket);
    emit_load_arg(f, 0);
    emit_ret_if(f, AF_UNIX, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* Only the question that filter_load proves itself with. */
static void block_prctl_get_seccomp(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_prctl);
    emit_load_arg(f, 0);
    emit_ret_if(f, PR_GET_SECCOMP, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* To servers, and to the kernel's routes and packet filter. */
static void block_netd_socket(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_socket);
    emit_load_arg(f, 0);
    emit_ret_if(f, AF_INET, ALLOW);
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_NETLINK);
    emit_ret(f, DENY);
    emit_load_arg(f, 2);
    emit_ret_if(f, NETLINK_ROUTE, ALLOW);
    emit_ret_if(f, NETLINK_NETFILTER, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* To hear tripwires and to answer them; the commands are 32-bit numbers. */
static void block_ioctl_notify(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_ioctl);
    emit_load_arg(f, 1);
    emit_ret_if(f, (uint32_t)SECCOMP_IOCTL_NOTIF_RECV, ALLOW);
    emit_ret_if(f, (uint32_t)SECCOMP_IOCTL_NOTIF_SEND, ALLOW);
    emit_ret(f, DENY);
    patch_ja(f, at);
}

/* A sandbox's monitor leaves the session keyring of whoever started the warden; nothing else is
 * done with keys. */
static void block_keyctl(struct filter *f)
{
    unsigned short at = begin_block(f, SYS_keyctl);
    emit_load_arg(f, 0);
    emit_ret_if(f, KEYCTL_JOIN_SESSION_KEYRING, ALLOW);
    emit_ret(f, REPORT);
    patch_ja(f, at);
}

static bool is_workload(enum filter_profile profile)
{
    return profile == FILTER_WORKLOAD || profile == FILTER_STRICT || profile == FILTER_DEBUG;
}

static void emit_specials(struct filter *f, enum filter_profile profile, unsigned options)
{
    if (profile == FILTER_MONITOR) {
        block_inet_socket(f);
        block_ioctl_notify(f);
        block_prctl_get_seccomp(f);
        return;
    }
    if (profile == FILTER_NETD) {
        block_netd_socket(f);
        block_prctl_get_seccomp(f);
        return;
    }
    if (profile == FILTER_RECORDER || profile == FILTER_TLSD || profile == FILTER_SHIPPER) {
        if (profile == FILTER_SHIPPER)
            block_socket(f, false);
        block_prctl_get_seccomp(f);
        return;
    }
    if (profile == FILTER_API) {
        block_thread(f);
        block_unix_socket(f);
        block_prctl_get_seccomp(f);
        emit_ret_if(f, SYS_clone3, NONE);
        return;
    }
    if (!(options & FILTER_NAMESPACES)) /* else it is in the list */
        block_clone(f);
    block_ioctl(f);
    block_socket(f, profile != FILTER_STRICT);
    block_mknod(f, SYS_mknod, 1);
    block_mknod(f, SYS_mknodat, 2);
    block_personality(f);
    emit_ret_if(f, SYS_clone3, NONE);
}

static void emit_head(struct filter *f)
{
    f->n = 0;
    emit_load(f, offsetof(struct seccomp_data, arch));
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
    emit_ret(f, KILL);
    emit_load(f, offsetof(struct seccomp_data, nr));
    emit(f, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
    emit_ret(f, KILL);
}

static void build_deny_list(struct filter *f)
{
    emit_head(f);
    block_keyctl(f);
    for (size_t i = 0; i < ARRAY_LEN(warden_mutes); i++)
        emit_ret_if(f, (uint32_t)warden_mutes[i], REPORT);
    for (size_t i = 0; i < ARRAY_LEN(warden_refuses); i++)
        emit_ret_if(f, (uint32_t)warden_refuses[i], DENY);
    emit_ret(f, ALLOW);
}

static void choose_calls(struct call_set *s, enum filter_profile profile, unsigned options)
{
    static const int clone_itself[] = { SYS_clone };

    if (profile == FILTER_API) {
        set_calls(s, api_calls, ARRAY_LEN(api_calls), true);
        return;
    }
    if (profile == FILTER_MONITOR) {
        set_calls(s, monitor_calls, ARRAY_LEN(monitor_calls), true);
        return;
    }
    if (profile == FILTER_TLSD) {
        set_calls(s, tlsd_calls, ARRAY_LEN(tlsd_calls), true);
        return;
    }
    if (profile == FILTER_NETD) {
        set_calls(s, netd_calls, ARRAY_LEN(netd_calls), true);
        return;
    }
    if (profile == FILTER_SHIPPER) {
        set_calls(s, shipper_calls, ARRAY_LEN(shipper_calls), true);
        return;
    }
    if (profile == FILTER_RECORDER) {
        set_calls(s, recorder_calls, ARRAY_LEN(recorder_calls), true);
        return;
    }
    set_calls(s, workload_calls, ARRAY_LEN(workload_calls), true);
    if (profile == FILTER_STRICT)
        set_calls(s, strict_refuses, ARRAY_LEN(strict_refuses), false);
    if (profile == FILTER_DEBUG)
        set_calls(s, debug_calls, ARRAY_LEN(debug_calls), true);
    if (options & FILTER_NAMESPACES) {
        set_calls(s, namespace_calls, ARRAY_LEN(namespace_calls), true);
        set_calls(s, clone_itself, ARRAY_LEN(clone_itself), true);
    }
}

/* Behind the tree, so that allowed calls do not pay for them. */
static void emit_tripwires(struct filter *f)
{
    for (size_t i = 0; i < ARRAY_LEN(tripwires); i++)
        if (tripwires[i].nr != SYS_clone)
            emit_ret_if(f, (uint32_t)tripwires[i].nr, REPORT);
}

const char *filter_tripwire_name(int nr)
{
    for (size_t i = 0; i < ARRAY_LEN(tripwires); i++)
        if (tripwires[i].nr == nr)
            return tripwires[i].name;
    return NULL;
}

int filter_tripwire_at(size_t i)
{
    return i < ARRAY_LEN(tripwires) ? tripwires[i].nr : -1;
}

void filter_build(struct filter *f, enum filter_profile profile)
{
    filter_build_with(f, profile, 0);
}

void filter_build_with(struct filter *f, enum filter_profile profile, unsigned options)
{
    if (profile == FILTER_WARDEN) {
        build_deny_list(f);
        return;
    }
    struct range range[160];
    struct misses misses = { .n = 0 };
    struct call_set calls = { .has = { false } };

    choose_calls(&calls, profile, options);
    size_t n = find_ranges(&calls, range, ARRAY_LEN(range));
    emit_head(f);
    emit_tree(f, range, n, &misses);
    for (size_t i = 0; i < misses.n; i++)
        patch_ja(f, misses.at[i]);
    emit_specials(f, profile, options);
    if (is_workload(profile))
        emit_tripwires(f);
    emit(f, BPF_JMP | BPF_JGT | BPF_K, 0, 1, NEWEST_KNOWN);
    emit_ret(f, NONE);
    emit_ret(f, DENY);
}

unsigned filter_run(const struct filter *f, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (unsigned pc = 0; pc < f->n; pc++) {
        const struct sock_filter *i = &f->insn[pc];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            ASSERT(i->k + sizeof a <= sizeof *data);
            memcpy(&a, (const char *)data + i->k, sizeof a);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += a & i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            ASSERT(false && "an instruction that the builder does not emit");
        }
    }
    ASSERT(false && "a program that ends without a return");
    return 0;
}

static int load(const struct filter *f, unsigned flags, struct err *e)
{
    struct sock_fprog prog = { .len = f->n };

    prog.filter = (struct sock_filter *)(uintptr_t)f->insn; /* the kernel reads it only */
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (rc < 0)
        return err_set(e, errno, "load the system call filter");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
        return err_say(e, EPERM, "the system call filter is not in force after loading it");
    return (int)rc;
}

int filter_load(const struct filter *f, struct err *e)
{
    return load(f, 0, e);
}

int filter_load_watched(const struct filter *f, struct err *e)
{
    return load(f, SECCOMP_FILTER_FLAG_NEW_LISTENER, e);
}
