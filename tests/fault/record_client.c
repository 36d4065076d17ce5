/* SPDX-License-Identifier: Apache-2.0 */
/* record_client SOCKET append PREFIX FIRST N [again]: gives the recorder records PREFIX-FIRST and on, one after the other, and prints "acked ID" as
 * each is answered, "refused ID ERRNO" if it says no. Ends with 1 if the recorder goes.
 * record_client SOCKET load CLIENTS SECONDS: as many clients at once, each with one record on its way; prints records a second and how long each took. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "ipc/ipc.h"
#include "ipc/recorder_proto.h"

#define CLIENTS_MAX 60
#define SAMPLES_MAX (1u << 21)
#define LIMIT_MS    5000

static int connect_to(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || str_copy(str_from(path), at.sun_path, sizeof at.sun_path) < 0 ||
        connect(fd, (const struct sockaddr *)&at, sizeof at) < 0) {
        perror(path);
        exit(2);
    }
    return fd;
}

static struct recorder_msg message(const char *prefix, unsigned long n)
{
    struct recorder_msg m = { .type = RECORDER_APPEND,
                              .version = RECORDER_VERSION,
                              .request_id = n,
                              .fields = { .event = AUDIT_SANDBOX_EXECUTED,
                                          .real_ns = clock_real_ns(),
                                          .duration_ms = 12,
                                          .success = 1,
                                          .sandbox_id = "i0123456789abcdefghi",
                                          .user_id = "user-123",
                                          .agent_id = "agent-zero",
                                          .language = "python",
                                          .ip_address = "172.30.1.10" } };

    (void)snprintf(m.fields.request_id, sizeof m.fields.request_id, "%s-%lu", prefix, n);
    return m;
}

/* Its answer; what the recorder tells all is skipped. */
static int await(int fd, struct recorder_msg *m)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    do {
        if (poll(&p, 1, LIMIT_MS) != 1)
            return -ETIMEDOUT;
        int rc = ipc_recv(fd, m, sizeof *m, NULL, 0, NULL);
        if (rc < 0)
            return rc;
    } while (m->type != RECORDER_APPEND);
    return 0;
}

static int append(const char *path, const char *prefix, unsigned long first, unsigned long n,
                  unsigned flags)
{
    int fd = connect_to(path);

    for (unsigned long i = first; i < first + n; i++) {
        struct recorder_msg m = message(prefix, i);
        m.flags = flags;
        if (ipc_send(fd, &m, sizeof m, NULL, 0) < 0 || await(fd, &m) < 0)
            return 1;
        if (m.status == 0)
            (void)printf("acked %s-%lu\n", prefix, i);
        else
            (void)printf("refused %s-%lu %d\n", prefix, i, -m.status);
        (void)fflush(stdout);
    }
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct load {
    struct pollfd p[CLIENTS_MAX];
    uint64_t sent_ns[CLIENTS_MAX];
    uint64_t sample[SAMPLES_MAX];
    size_t n;
};

static int send_one(struct load *l, int i, unsigned long id)
{
    struct recorder_msg m = message("load", id);

    l->sent_ns[i] = clock_mono_ns();
    return ipc_send(l->p[i].fd, &m, sizeof m, NULL, 0);
}

static int load(const char *path, int clients, unsigned long seconds)
{
    static struct load l; /* too large for the stack */
    unsigned long id = 0;
    uint64_t begun_ns = clock_mono_ns(), until_ns = begun_ns + seconds * NS_PER_S;

    for (int i = 0; i < clients; i++) {
        l.p[i] = (struct pollfd){ .fd = connect_to(path), .events = POLLIN };
        if (send_one(&l, i, ++id) < 0)
            return 1;
    }
    while (clock_mono_ns() < until_ns && l.n + CLIENTS_MAX < SAMPLES_MAX) {
        struct recorder_msg m;
        if (poll(l.p, (nfds_t)clients, LIMIT_MS) <= 0)
            return 1;
        for (int i = 0; i < clients; i++) {
            if (!l.p[i].revents)
                continue;
            if (await(l.p[i].fd, &m) < 0 || m.status != 0)
                return 1;
            l.sample[l.n++] = clock_mono_ns() - l.sent_ns[i];
            if (send_one(&l, i, ++id) < 0)
                return 1;
        }
    }
    double took = (double)(clock_mono_ns() - begun_ns) / (double)NS_PER_S;
    qsort(l.sample, l.n, sizeof l.sample[0], by_size);
    (void)printf("%.0f %.3f %.3f\n", (double)l.n / took, (double)l.sample[l.n / 2] / 1e6,
                 (double)l.sample[l.n * 99 / 100] / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 6 && strcmp(argv[2], "append") == 0)
        return append(argv[1], argv[3], strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10),
                      argc > 6 ? RECORDER_AGAIN : 0);
    if (argc == 5 && strcmp(argv[2], "load") == 0) {
        long clients = strtol(argv[3], NULL, 10);
        if (clients >= 1 && clients <= CLIENTS_MAX)
            return load(argv[1], (int)clients, strtoul(argv[4], NULL, 10));
    }
    (void)fprintf(
        stderr,
        "usage: record_client SOCKET append PREFIX FIRST N [again] | load CLIENTS SECONDS\n");
    return 2;
}
