/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_api: all that e2b-sandbox does once it serves. No execve, no fork (clone is for threads only, checked in filter.c), no
 * socket but Unix ones: its listening socket was opened before, and connections into sandboxes come as descriptors. */
// clang-format off
X(accept4) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(epoll_pwait) X(eventfd2) X(poll) X(ppoll) /* lib/http's reactor and handlers */
X(recvfrom) X(recvmsg) X(sendto) X(sendmsg) X(sendfile) X(splice) X(shutdown)     /* lib/http, lib/ipc */
X(connect) X(getsockopt) X(setsockopt) X(getsockname) X(getpeername)              /* warden_client */
X(read) X(write) X(readv) X(writev) X(pread64) X(pwrite64) X(lseek) X(close) X(fcntl) X(dup) /* everywhere */
X(open) X(openat) X(unlink) X(unlinkat) X(access) X(faccessat) X(faccessat2) X(stat) X(lstat) X(fstat) X(newfstatat)
X(statx) X(statfs) X(fstatfs) X(getdents64) X(readlink) X(readlinkat) X(getcwd) X(mkdir) X(rename) X(fchmod) X(chmod)
X(fsync) X(fdatasync) X(ftruncate) X(fallocate) X(utimensat) X(flock)             /* SQLite, the template store */
X(brk) X(mmap) X(munmap) X(mremap) X(mprotect) X(madvise) X(msync)                /* malloc, SQLite's shared memory */
X(futex) X(set_robust_list) X(rseq) X(sched_yield) X(sched_getaffinity) X(membarrier) X(set_tid_address) /* threads */
X(rt_sigaction) X(rt_sigprocmask) X(rt_sigreturn) X(rt_sigtimedwait) X(sigaltstack) X(signalfd4) X(tgkill) /* signals, abort */
X(clock_gettime) X(clock_getres) X(clock_nanosleep) X(nanosleep) X(gettimeofday) X(time) X(timerfd_create) X(timerfd_settime)
X(getrandom) X(getpid) X(gettid) X(getppid) X(getuid) X(geteuid) X(getgid) X(getegid) X(uname) X(sysinfo) X(prlimit64)
X(getrlimit) X(getrusage) X(exit) X(exit_group) X(restart_syscall)
