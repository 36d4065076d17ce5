/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_tripwires: calls that an ordinary program in a sandbox has no use for and an attacker does. Refused like all that are
 * not listed, and reported (security.md 1, detection 3). Each name once; not in syscalls_workload.h. clone with CLONE_NEWUSER is one
 * more. Some libraries probe one of them at start (libuv: io_uring_setup), so one alone is information and two distinct ones are
 * a warning. */
// clang-format off
X(mount) X(umount2) X(pivot_root) X(open_tree) X(move_mount) X(fsopen) X(fsconfig) X(fsmount) X(fspick) X(mount_setattr)
X(unshare) X(setns) X(bpf) X(perf_event_open) X(io_uring_setup) X(io_uring_enter) X(io_uring_register) X(userfaultfd)
X(keyctl) X(add_key) X(request_key) X(open_by_handle_at) X(init_module) X(finit_module) X(kexec_load) X(kexec_file_load)
