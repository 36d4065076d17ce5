/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_shipper: all that shipper does once it runs: reads files, keeps one of its own, connects to Loki and to the recorder. */
// clang-format off
X(poll) X(ppoll) X(connect) X(getsockopt) X(setsockopt) X(shutdown) X(recvfrom) X(recvmsg) X(sendto) X(sendmsg)
X(openat) X(open) X(close) X(read) X(pread64) X(write) X(lseek) X(fstat) X(newfstatat) X(getdents64)
X(fsync) X(renameat) X(fcntl)
X(brk) X(mmap) X(munmap) X(mremap) X(mprotect) X(madvise) X(futex)                 /* malloc, libcrypto */
X(clock_gettime) X(clock_nanosleep) X(getrandom) X(getpid) X(gettid) X(getuid) X(geteuid)
X(rt_sigaction) X(rt_sigprocmask) X(rt_sigreturn) X(tgkill) X(restart_syscall) X(exit) X(exit_group)
