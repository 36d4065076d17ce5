/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_netd: all that netd does once it serves. No file, no program, no process, no thread. */
// clang-format off
X(epoll_wait) X(epoll_pwait) X(epoll_ctl) X(poll) X(select) X(pselect6)            /* the loop; libmnl in libnftables */
X(accept4) X(connect) X(bind) X(getsockopt) X(setsockopt) X(getsockname) X(getpeername) X(shutdown)
X(recvfrom) X(recvmsg) X(sendto) X(sendmsg)                                        /* everything that is said */
X(ioctl)                                                                           /* SIOCGSKNS, SIOCGIFINDEX */
X(read) X(write) X(close) X(fcntl) X(fstat) X(lseek)                               /* timers, signals, log lines */
X(brk) X(mmap) X(munmap) X(mremap) X(mprotect) X(madvise) X(futex)                 /* malloc */
X(clock_gettime) X(clock_nanosleep) X(nanosleep) X(getrandom) X(getpid) X(gettid) X(getuid) X(geteuid)
X(rt_sigaction) X(rt_sigprocmask) X(rt_sigreturn) X(tgkill) X(restart_syscall) X(exit) X(exit_group)
