/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_tlsd: all that tlsd does once it serves: sockets that it was given, and memory. No socket, no file, no program, no thread. */
// clang-format off
X(epoll_wait) X(epoll_pwait) X(epoll_ctl) X(recvmsg) X(recvfrom) X(sendmsg) X(sendto) X(read) X(write) X(close)
X(getsockopt) X(setsockopt) X(getsockname) X(getpeername) X(shutdown) X(fcntl) X(fstat) X(lseek)
X(brk) X(mmap) X(munmap) X(mremap) X(mprotect) X(madvise) X(futex)                 /* malloc */
X(clock_gettime) X(gettimeofday) X(time) X(clock_nanosleep) X(nanosleep) X(getrandom) X(getpid) X(gettid) X(getuid) X(geteuid)
X(rt_sigaction) X(rt_sigprocmask) X(rt_sigreturn) X(tgkill) X(restart_syscall) X(exit) X(exit_group)
