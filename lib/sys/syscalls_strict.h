/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_strict: what the profile `strict` takes away from syscalls_workload.h: System V IPC and message queues, asynchronous
 * I/O, pipes spliced from user pages, filters and Landlock of the program's own, memory locked or laid out by hand, scheduling
 * classes, netlink sockets (in filter.c). Python, Node.js, shells and compilers run without them. */
// clang-format off
X(msgctl) X(msgget) X(msgrcv) X(msgsnd) X(semctl) X(semget) X(semop) X(semtimedop) X(shmat) X(shmctl) X(shmdt) X(shmget)
X(mq_getsetattr) X(mq_notify) X(mq_open) X(mq_timedreceive) X(mq_timedsend) X(mq_unlink)
X(io_cancel) X(io_destroy) X(io_getevents) X(io_pgetevents) X(io_setup) X(io_submit) X(vmsplice) X(tee)
X(seccomp) X(landlock_add_rule) X(landlock_create_ruleset) X(landlock_restrict_self)
X(mlock) X(mlock2) X(mlockall) X(munlockall) X(remap_file_pages) X(map_shadow_stack) X(mincore) X(cachestat) X(process_mrelease)
X(sched_setattr) X(sched_setparam) X(sched_setscheduler) X(ioprio_set) X(get_thread_area) X(set_thread_area)
