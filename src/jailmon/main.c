/* SPDX-License-Identifier: Apache-2.0 */
/* jailmon: builds one sandbox, drops everything, supervises it. Started by the warden only
 * (ipc/jailmon_proto.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "ipc/jailmon_proto.h"
#include "jailmon/build.h"
#include "jailmon/serve.h"

#define LISTEN_BACKLOG 16

static const char usage[] =
    "usage: jailmon [--help | --version]\n"
    "\n"
    "The monitor of one sandbox. The warden starts it, with descriptors that nobody else has;\n"
    "by hand it does nothing. See jailmon(8).\n";

static void report(enum jailmon_event event, enum sandbox_step step, int error,
                   enum sandbox_cause cause, uint64_t tripwires)
{
    struct jailmon_report r = { event, step, error, cause, tripwires };
    (void)ipc_send(JAILMON_FD_WARDEN, &r, sizeof r, NULL,
                   0); /* a warden that is gone needs no report */
}

static void report_forked(void)
{
    report(JAILMON_FORKED, STEP_NONE, 0, CAUSE_UNKNOWN, 0);
}

static int set_up(struct sandbox *s, int *epoll_fd, int *timer_fd, enum sandbox_step *step)
{
    *step = STEP_MONITOR_EXEC;
    int rc = serve_prepare(epoll_fd, timer_fd);
    if (rc == 0)
        rc = build_sandbox(s, report_forked, step);
    if (rc == 0)
        rc = drop_everything(step); /* init works in the meantime */
    if (rc == 0)
        rc = await_agent(s, step);
    if (rc == 0 && listen(JAILMON_FD_LISTEN, LISTEN_BACKLOG) < 0)
        rc = -errno;
    return rc;
}

int main(int argc, char **argv)
{
    struct sandbox s = { 0 };
    enum sandbox_step step;
    int epoll_fd, timer_fd;
    uint64_t tripwires;

    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("jailmon " FIREBREAK_VERSION) < 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc > 1 || fcntl(JAILMON_FD_WARDEN, F_GETFD) < 0) {
        (void)fputs(usage, stderr);
        return 2;
    }
    log_init("jailmon", LOG_LEVEL_INFO);
    (void)signal(SIGPIPE, SIG_IGN);
    uint32_t theirs = ipc_peek_version(JAILMON_FD_WARDEN);
    if (theirs != 0 && theirs != WARDEN_VERSION)
        log_error("start_refused", "why=version theirs=%u ours=%u", theirs, WARDEN_VERSION);
    int rc = ipc_recv(JAILMON_FD_WARDEN, &s.start, sizeof s.start, NULL, 0, NULL);
    if (rc < 0 || s.start.version != WARDEN_VERSION || !sandbox_id_ok(&s.start.id))
        return 1;
    rc = set_up(&s, &epoll_fd, &timer_fd, &step);
    if (rc < 0) {
        report(JAILMON_FAILED, step, -rc, CAUSE_START_FAILED, 0);
        return 1;
    }
    report(JAILMON_READY, STEP_NONE, 0, CAUSE_UNKNOWN, 0);
    enum sandbox_cause cause = serve(&s, epoll_fd, timer_fd, &tripwires);
    report(JAILMON_ENDING, STEP_NONE, 0, cause, tripwires);
    return 0;
}
