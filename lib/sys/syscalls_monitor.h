/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_monitor: all that jailmon does once the sandbox stands. Each line names the code that needs it. */
// clang-format off
X(epoll_wait) X(epoll_pwait) X(epoll_ctl)             /* its event loop */
X(read) X(pread64) X(lseek)                           /* timerfd, cgroup files */
X(write) X(pwrite64)                                  /* cgroup freeze file, log line */
X(recvmsg) X(sendmsg) X(accept4) X(listen)            /* the monitor protocol */
X(connect) X(bind) X(getsockopt) X(setsockopt)        /* MONITOR_CONNECT (socket is checked by value) */
X(fcntl)                                              /* MONITOR_NETNS: duplicates one descriptor */
X(close) X(fstatfs) X(fstat)                          /* stats */
X(timerfd_settime) X(clock_gettime) X(nanosleep) X(clock_nanosleep) /* deadline; waiting for a freeze */
X(waitid) X(poll)                                     /* init has ended; tripwires (ioctl is checked by value) */
X(exit_group) X(exit) X(rt_sigreturn) X(restart_syscall) X(rt_sigprocmask) X(gettid) X(getpid) X(tgkill) /* ending, abort */
X(brk) X(munmap) X(mmap) X(mprotect) X(madvise) X(futex) /* libc's own needs in stdio and abort */
