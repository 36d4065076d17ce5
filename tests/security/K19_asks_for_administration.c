// SPDX-License-Identifier: Apache-2.0
// attack: ask for each of the calls that administer a machine. (With arguments that mean nothing: outside the kernel says so, EINVAL,
// EFAULT, ENOENT, EBADF; inside it must not even look at them.)
// control: got through to [2345]\d of \d+:.*
// inside: refused EPERM or ENOSYS for all 53
#include "probe.h"
#include <sys/syscall.h>

// clang-format off
#define CALL(name, a, b, c, d, e) { #name, SYS_##name, { (long)(a), (long)(b), (long)(c), (long)(d), (long)(e) } }
// clang-format on
#define NOWHERE "/nonexistent/firebreak-probe"

int main(void)
{
    static char block[512];
    const struct {
        const char *name;
        long nr, arg[5];
    } call[] = {
        CALL(mount, 0, NOWHERE, 0, 0, 0),
        CALL(umount2, NOWHERE, 0, 0, 0, 0),
        CALL(pivot_root, NOWHERE, NOWHERE, 0, 0, 0),
        CALL(chroot, NOWHERE, 0, 0, 0, 0),
        CALL(fsopen, "no-such-fs", 0, 0, 0, 0),
        CALL(fsconfig, -1, 0, 0, 0, 0),
        CALL(fsmount, -1, 0, 0, 0, 0),
        CALL(fspick, -1, NOWHERE, 0, 0, 0),
        CALL(move_mount, -1, "x", -1, "x", 0),
        CALL(open_tree, -1, "x", 0, 0, 0),
        CALL(mount_setattr, -1, "x", 0, block, 32),
        CALL(setns, -1, 0, 0, 0, 0),
        CALL(unshare, 1, 0, 0, 0, 0),
        CALL(swapon, NOWHERE, 0, 0, 0, 0),
        CALL(swapoff, NOWHERE, 0, 0, 0, 0),
        CALL(reboot, 0, 0, 0, 0, 0),
        CALL(settimeofday, block, 1, 0, 0, 0),
        CALL(clock_settime, 9999, block, 0, 0, 0),
        CALL(clock_adjtime, 9999, block, 0, 0, 0),
        CALL(init_module, block, 0, 1, 0, 0),
        CALL(finit_module, -1, block, 0, 0, 0),
        CALL(delete_module, "no-such-module", 0, 0, 0, 0),
        CALL(kexec_load, 0, 0, 0, -1, 0),
        CALL(quotactl, -1, 0, 0, 0, 0),
        CALL(acct, NOWHERE, 0, 0, 0, 0),
        CALL(iopl, 99, 0, 0, 0, 0),
        CALL(ioperm, 70000, 1, 1, 0, 0),
        CALL(syslog, 99, 0, 0, 0, 0),
        CALL(sethostname, block, 999, 0, 0, 0),
        CALL(setdomainname, block, 999, 0, 0, 0),
        CALL(name_to_handle_at, -1, "x", 0, 0, 0),
        CALL(open_by_handle_at, -1, block, 0, 0, 0),
        CALL(fanotify_init, 0xffff, 0, 0, 0, 0),
        CALL(pidfd_getfd, -1, 0, 0, 0, 0),
        CALL(kcmp, 1, 1, 99, 0, 0),
        CALL(process_vm_writev, 0, 0, 0, 0, 0),
        CALL(lookup_dcookie, 0, 0, 0, 0, 0),
        CALL(memfd_secret, 0xff, 0, 0, 0, 0),
        CALL(adjtimex, 0, 0, 0, 0, 0),
        CALL(modify_ldt, 0, block, sizeof block, 0, 0),
        CALL(kexec_file_load, -1, -1, 0, 0, 0xff),
        CALL(quotactl_fd, -1, 0, 0, 0, 0),
        CALL(mbind, 1, 1, 99, 0, 0),
        CALL(migrate_pages, -1, 0, 0, 0, 0),
        CALL(move_pages, -1, 1, 0, 0, 0),
        CALL(bpf, 9999, 0, 0, 0, 0),
        CALL(perf_event_open, 0, 0, -1, -1, 0),
        CALL(io_uring_register, -1, 0, 0, 0, 0),
        CALL(userfaultfd, 0xffff, 0, 0, 0, 0),
        CALL(keyctl, 9999, 0, 0, 0, 0),
        CALL(add_key, 0, 0, 0, 0, 0),
        CALL(request_key, 0, 0, 0, 0, 0),
        CALL(ptrace, 9999, -1, 0, 0, 0),
    };
    int through = 0, n = sizeof call / sizeof *call;
    char names[1024] = "";
    here();
    for (int i = 0; i < n; i++) {
        const long *a = call[i].arg;
        long rc = syscall(call[i].nr, a[0], a[1], a[2], a[3], a[4], 0);
        if (rc < 0 && (errno == EPERM || errno == ENOSYS))
            continue;
        through++;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, " %s", call[i].name);
    }
    return through ? say("got through to %d of %d:%s", through, n, names)
                   : say("refused EPERM or ENOSYS for all %d", n);
}
