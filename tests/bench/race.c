// SPDX-License-Identifier: Apache-2.0
// race: the same small job, `true` in a fresh sandbox, done in turn by each contender, so that whatever the machine does at the
// moment happens to all. Prints "contender mode stage n p50 p99 min" in microseconds.
//
//   race PORT API-KEY N -- bwrap ARGS... -- crun ARGS...      (crun gets a fresh container id as last argument)
//
// Firebreak: POST /v2/sandboxes, process.Process/Start of /bin/true until its end event, DELETE; on one kept connection, as the SDK
// does. The others: vfork and exec of the tool until it is reaped. "paced": each sample follows 60 ms of idleness; "hot": none.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES 5000
enum stage { CREATE, RESULT, WHOLE, STAGES };
static const char *const stage_name[STAGES] = { "created", "result", "whole" };
static uint64_t sample[3][STAGES][MAX_SAMPLES];

static void die(const char *what)
{
    fprintf(stderr, "race: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int connect_to(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 20 };
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

// Sends a request and reads the whole answer, of whatever framing, into a NUL-terminated buffer. Returns the status.
static int ask(int fd, const char *request, size_t n, char *answer, size_t size)
{
    size_t have = 0;
    if (write(fd, request, n) != (ssize_t)n)
        die("write");
    for (;;) {
        if (have + 1 >= size)
            die("an answer that is too long");
        ssize_t got = read(fd, answer + have, size - 1 - have);
        if (got <= 0)
            die("read");
        have += (size_t)got;
        answer[have] = '\0';
        char *body = memmem(answer, have, "\r\n\r\n", 4);
        if (!body)
            continue;
        size_t head = (size_t)(body - answer) + 4;
        const char *length = strcasestr(answer, "\r\nContent-Length:");
        if (length && length < body) {
            if (have >= head + strtoul(length + 17, NULL, 10))
                break;
        } else if (strncmp(answer + 9, "204", 3) == 0) {
            break;
        } else if (have >= head + 5 && memcmp(answer + have - 5, "0\r\n\r\n", 5) == 0) {
            break;
        }
    }
    return (int)strtol(answer + 9, NULL, 10);
}

static void field(const char *json, const char *name, char *out, size_t size)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *p = strstr(json, quoted);
    p = p ? strchr(p + strlen(quoted), '"') : NULL;
    const char *end = p ? strchr(p + 1, '"') : NULL;
    if (!end || (size_t)(end - p) > size)
        die(name);
    memcpy(out, p + 1, (size_t)(end - p - 1));
    out[end - p - 1] = '\0';
}

static void firebreak(int fd, const char *key, uint64_t took[STAGES])
{
    static char request[4096], answer[65536];
    static const char create[] = "{\"templateID\":\"base\",\"timeout\":60}";
    static const char start[] = "{\"process\":{\"cmd\":\"/bin/true\"},\"stdin\":false}";
    char id[64], token[128];
    uint64_t began = now_us();

    int n = snprintf(request, sizeof request,
                     "POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "
                     "%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     key, sizeof create - 1, create);
    if (ask(fd, request, (size_t)n, answer, sizeof answer) != 201) {
        fprintf(stderr, "race: create: %s\n", answer);
        exit(1);
    }
    field(answer, "sandboxID", id, sizeof id);
    field(answer, "envdAccessToken", token, sizeof token);
    took[CREATE] = now_us() - began;

    n = snprintf(request, sizeof request,
                 "POST /process.Process/Start HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: "
                 "%s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n"
                 "Content-Type: application/connect+json\r\nConnect-Protocol-Version: "
                 "1\r\nContent-Length: %zu\r\n\r\n",
                 id, token, sizeof start - 1 + 5);
    const unsigned char prefix[5] = { 0, 0, 0, 0, (unsigned char)(sizeof start - 1) };
    memcpy(request + n, prefix, 5);
    memcpy(request + n + 5, start, sizeof start - 1);
    int status = ask(fd, request, (size_t)n + 5 + sizeof start - 1, answer, sizeof answer);
    char *body = strstr(answer, "\r\n\r\n");
    if (status != 200 || !memmem(body, sizeof answer - (size_t)(body - answer), "exited", 6)) {
        fprintf(stderr, "race: start: %d %s\n", status, answer);
        exit(1);
    }
    took[RESULT] = now_us() - began;

    n = snprintf(request, sizeof request,
                 "DELETE /sandboxes/%s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\n\r\n",
                 id, key);
    if (ask(fd, request, (size_t)n, answer, sizeof answer) != 204) {
        fprintf(stderr, "race: kill: %s\n", answer);
        exit(1);
    }
    took[WHOLE] = now_us() - began;
}

static void tool(char **argv, uint64_t took[STAGES])
{
    static char *no_environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    pid_t pid;
    int status;
    uint64_t began = now_us();
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, no_environment) != 0)
        die(argv[0]);
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "race: %s ended with %d\n", argv[0], status);
        exit(1);
    }
    took[CREATE] = took[RESULT] = 0;
    took[WHOLE] = now_us() - began;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *who, const char *mode, enum stage stage, uint64_t *v, size_t n)
{
    qsort(v, n, sizeof *v, compare);
    printf("%s %s %s %zu %lu %lu %lu\n", who, mode, stage_name[stage], n, v[n / 2],
           v[(n * 99 + 99) / 100 - 1], v[0]);
}

int main(int argc, char **argv)
{
    if (argc < 8)
        die("usage: race PORT KEY N -- bwrap ARGS -- crun ARGS");
    size_t n = strtoul(argv[3], NULL, 10);
    char **bwrap = argv + 5, **crun = bwrap, container[32];
    while (*crun && strcmp(*crun, "--") != 0)
        crun++;
    if (!*crun || n == 0 || n > MAX_SAMPLES)
        die("arguments");
    *crun++ = NULL;
    char *crun_argv[32];
    size_t words = 0;
    for (; crun[words] && words < 30; words++)
        crun_argv[words] = crun[words];
    crun_argv[words] = container;
    crun_argv[words + 1] = NULL;

    int fd = connect_to((uint16_t)strtoul(argv[1], NULL, 10));
    static const char *const mode[] = { "paced", "hot" };
    static const char *const who[] = { "firebreak", "bwrap", "crun" };
    for (int m = 0; m < 2; m++) {
        uint64_t took[STAGES];
        for (size_t i = 0; i <= n; i++) // the first round warms caches and is not counted
            for (int w = 0; w < 3; w++) {
                if (m == 0)
                    usleep(60000);
                snprintf(container, sizeof container, "race-%d-%d-%zu", (int)getpid(), m, i);
                if (w == 0)
                    firebreak(fd, argv[2], took);
                else
                    tool(w == 1 ? bwrap : crun_argv, took);
                for (int s = 0; i > 0 && s < STAGES; s++)
                    sample[w][s][i - 1] = took[s];
            }
        for (int w = 0; w < 3; w++)
            for (int s = w == 0 ? CREATE : WHOLE; s < STAGES; s++)
                report(who[w], mode[m], (enum stage)s, sample[w][s], n);
        fflush(stdout);
    }
    return 0;
}
