/* SPDX-License-Identifier: Apache-2.0 */
/* The filters as the kernel runs them: what a listener hears, and what becomes of a call when
 * the listener is gone. Each in a child, since a filter cannot be taken off. */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "sys/filter.h"

static int send_fd(int sock, int fd)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(sock, &mh, 0) == 1 ? 0 : -1;
}

static int recv_fd(int sock)
{
    char byte;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };
    int fd;

    if (recvmsg(sock, &mh, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&mh))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof fd);
    return fd;
}

/* Under the warden's filter and the workload's, as a sandbox is. Exits with the errno of a
 * call that is a tripwire. */
static _Noreturn void run_sandboxed(int sock)
{
    struct filter outer, inner;
    struct err e = { 0 };

    filter_build(&outer, FILTER_WARDEN);
    filter_build(&inner, FILTER_WORKLOAD);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_load(&outer, &e) < 0)
        _exit(201);
    if (syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != ENOSYS) /* nobody listens yet */
        _exit(202);
    int listener = filter_load_watched(&inner, &e);
    if (listener < 0 || send_fd(sock, listener) < 0)
        _exit(203);
    (void)close(listener);
    char go;
    if (read(sock, &go, 1) != 1)
        _exit(204);
    _exit(syscall(SYS_bpf, 0, NULL, 0) < 0 ? errno : 0);
}

static pid_t start(int *listener, int *sock)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pair[0]);
        run_sandboxed(pair[1]);
    }
    (void)close(pair[1]);
    *sock = pair[0];
    *listener = recv_fd(pair[0]);
    assert_true(*listener >= 0);
    return pid;
}

static int status_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void the_listener_hears_the_call_and_its_errno_is_the_answer(void **state)
{
    struct seccomp_notif n = { 0 };
    int listener, sock;
    pid_t pid = start(&listener, &sock);

    (void)state;
    assert_int_equal(write(sock, "g", 1), 1);
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n), 0);
    assert_int_equal(n.data.nr, SYS_bpf);
    assert_int_equal(n.pid, pid);
    struct seccomp_notif_resp r = { .id = n.id, .error = -EPERM };
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r), 0);
    assert_int_equal(status_of(pid), EPERM << 8);
    (void)close(listener);
    (void)close(sock);
}

static void without_a_listener_nothing_waits(void **state)
{
    int listener, sock;
    pid_t pid = start(&listener, &sock);

    (void)state;
    (void)close(listener);
    assert_int_equal(write(sock, "g", 1), 1);
    assert_int_equal(status_of(pid), ENOSYS << 8);
    (void)close(sock);
}

static void who_waits_for_a_slow_listener_can_be_killed(void **state)
{
    struct seccomp_notif n = { 0 };
    int listener, sock;
    pid_t pid = start(&listener, &sock);

    (void)state;
    assert_int_equal(write(sock, "g", 1), 1);
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n), 0); /* and no answer */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(status_of(pid), SIGKILL);
    (void)close(listener);
    (void)close(sock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_listener_hears_the_call_and_its_errno_is_the_answer),
        cmocka_unit_test(without_a_listener_nothing_waits),
        cmocka_unit_test(who_waits_for_a_slow_listener_can_be_killed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
