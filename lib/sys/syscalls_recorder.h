/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_recorder: all that recorder does once it serves. Files below its directory, Unix sockets that it has; no program, no process,
 * no thread, no new socket but by accept. */
// clang-format off
X(epoll_wait) X(epoll_pwait) X(epoll_ctl) X(poll) X(accept4) X(getsockopt)         /* the loop */
X(recvfrom) X(recvmsg) X(sendto) X(sendmsg) X(shutdown)
X(openat) X(open) X(close) X(read) X(pread64) X(write) X(pwrite64) X(lseek) X(fstat) X(newfstatat) X(fstatfs) X(getdents64)
X(fdatasync) X(fsync) X(ftruncate) X(fallocate) X(unlinkat) X(mkdirat) X(fchmod) X(fcntl)
X(brk) X(mmap) X(munmap) X(mremap) X(mprotect) X(madvise) X(futex)                 /* malloc, libcrypto */
X(clock_gettime) X(clock_nanosleep) X(getrandom) X(getpid) X(gettid) X(getuid) X(geteuid)
X(rt_sigaction) X(rt_sigprocmask) X(rt_sigreturn) X(tgkill) X(restart_syscall) X(exit) X(exit_group)
