/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_workload: what a program in a sandbox may ask the kernel for. Included by filter.c once for the list.
 *
 * Base: the list that containers-common ships as its default (374 names), minus what relies on capabilities or namespaces to be
 * harmless: the mount family, unshare, setns, chroot, pivot_root, keyctl, ptrace, process_vm_*, bpf,
 * perf_event_open, io_uring, userfaultfd, memory policy, name_to_handle_at, pidfd_getfd, fanotify, memfd_secret, clock setting, quota,
 * modules, swap, reboot, syslog. Checked by value in filter.c: clone, socket, ioctl, personality, mknod, mknodat. */
// clang-format off
X(accept) X(accept4) X(access) X(alarm) X(arch_prctl) X(bind) X(brk) X(cachestat) X(capget) X(capset) X(chdir) X(chmod) X(chown)
X(clock_getres) X(clock_gettime) X(clock_nanosleep) X(close) X(close_range) X(connect) X(copy_file_range) X(creat) X(dup)
X(dup2) X(dup3) X(epoll_create) X(epoll_create1) X(epoll_ctl) X(epoll_ctl_old) X(epoll_pwait) X(epoll_pwait2) X(epoll_wait)
X(epoll_wait_old) X(eventfd) X(eventfd2) X(execve) X(execveat) X(exit) X(exit_group) X(faccessat) X(faccessat2) X(fadvise64)
X(fallocate) X(fchdir) X(fchmod) X(fchmodat) X(fchmodat2) X(fchown) X(fchownat) X(fcntl) X(fdatasync) X(fgetxattr)
X(flistxattr) X(flock) X(fork) X(fremovexattr) X(fsetxattr) X(fstat) X(fstatfs) X(fsync) X(ftruncate) X(futex)
X(futex_requeue) X(futex_wait) X(futex_waitv) X(futex_wake) X(futimesat) X(getcpu) X(getcwd) X(getdents) X(getdents64)
X(getegid) X(geteuid) X(getgid) X(getgroups) X(getitimer) X(getpeername) X(getpgid) X(getpgrp) X(getpid) X(getppid)
X(getpriority) X(getrandom) X(getresgid) X(getresuid) X(getrlimit) X(get_robust_list) X(getrusage) X(getsid)
X(getsockname) X(getsockopt) X(get_thread_area) X(gettid) X(gettimeofday) X(getuid) X(getxattr) X(inotify_add_watch)
X(inotify_init) X(inotify_init1) X(inotify_rm_watch) X(io_cancel) X(io_destroy) X(io_getevents) X(io_pgetevents)
X(ioprio_get) X(ioprio_set) X(io_setup) X(io_submit) X(kill) X(landlock_add_rule) X(landlock_create_ruleset)
X(landlock_restrict_self) X(lchown) X(lgetxattr) X(link) X(linkat) X(listen) X(listxattr) X(llistxattr)
X(lremovexattr) X(lseek) X(lsetxattr) X(lstat) X(madvise) X(map_shadow_stack) X(membarrier) X(memfd_create) X(mincore)
X(mkdir) X(mkdirat) X(mlock) X(mlock2) X(mlockall) X(mmap) X(mprotect) X(mq_getsetattr) X(mq_notify) X(mq_open)
X(mq_timedreceive) X(mq_timedsend) X(mq_unlink) X(mremap) X(msgctl) X(msgget) X(msgrcv) X(msgsnd) X(msync) X(munlock)
X(munlockall) X(munmap) X(nanosleep) X(newfstatat) X(open) X(openat) X(openat2) X(pause) X(pidfd_open)
X(pidfd_send_signal) X(pipe) X(pipe2) X(pkey_alloc) X(pkey_free) X(pkey_mprotect) X(poll) X(ppoll) X(prctl) X(pread64)
X(preadv) X(preadv2) X(prlimit64) X(process_mrelease) X(pselect6) X(pwrite64) X(pwritev) X(pwritev2) X(read)
X(readahead) X(readlink) X(readlinkat) X(readv) X(recvfrom) X(recvmmsg) X(recvmsg) X(remap_file_pages) X(removexattr)
X(rename) X(renameat) X(renameat2) X(restart_syscall) X(rmdir) X(rseq) X(rt_sigaction) X(rt_sigpending)
X(rt_sigprocmask) X(rt_sigqueueinfo) X(rt_sigreturn) X(rt_sigsuspend) X(rt_sigtimedwait) X(rt_tgsigqueueinfo)
X(sched_getaffinity) X(sched_getattr) X(sched_getparam) X(sched_get_priority_max) X(sched_get_priority_min)
X(sched_getscheduler) X(sched_rr_get_interval) X(sched_setaffinity) X(sched_setattr) X(sched_setparam)
X(sched_setscheduler) X(sched_yield) X(seccomp) X(select) X(semctl) X(semget) X(semop) X(semtimedop) X(sendfile)
X(sendmmsg) X(sendmsg) X(sendto) X(setfsgid) X(setfsuid) X(setgid) X(setgroups) X(setitimer) X(setpgid) X(setpriority)
X(setregid) X(setresgid) X(setresuid) X(setreuid) X(setrlimit) X(set_robust_list) X(setsid) X(setsockopt)
X(set_thread_area) X(set_tid_address) X(setuid) X(setxattr) X(shmat) X(shmctl) X(shmdt) X(shmget) X(shutdown)
X(sigaltstack) X(signalfd) X(signalfd4) X(socketpair) X(splice) X(stat) X(statfs) X(statx) X(symlink) X(symlinkat)
X(sync) X(sync_file_range) X(syncfs) X(sysinfo) X(tee) X(tgkill) X(time) X(timer_create) X(timer_delete)
X(timer_getoverrun) X(timer_gettime) X(timer_settime) X(timerfd_create) X(timerfd_gettime) X(timerfd_settime) X(times)
X(tkill) X(truncate) X(umask) X(uname) X(unlink) X(unlinkat) X(utime) X(utimensat) X(utimes) X(vfork) X(vmsplice)
X(wait4) X(waitid) X(write) X(writev)
