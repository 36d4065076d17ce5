// SPDX-License-Identifier: Apache-2.0
// race: the same small job in a fresh sandbox, done by each contender in turn, so that whatever the machine does at the moment
// happens to all.
//
//   race latency N < CONTENDERS        one client; "paced": each sample follows 60 ms of idleness, "hot": none
//   race load CLIENTS ROUNDS < ...     each contender in turn has the machine for a second, ROUNDS times
//
// A contender is a line of fields between tabs:
//   tool NAME FILTER ARGV...   vfork and exec of ARGV until it is reaped. {id} in it is replaced by a fresh name. FILTER: a file that
//                              is open for reading as descriptor 9, or "-"
//   api NAME PORT KEY CMD ARG...  POST /v2/sandboxes, process.Process/Start of CMD until its end event, DELETE; on one kept
//                              connection for each client, as the SDK does
//   floor NAME ROOT CMD ARG... no sandbox, but the kernel's part of any: a process born in eight fresh namespaces mounts ROOT and
//                              /proc, enters it and becomes CMD. No other program, no limit, no filter, no request
// Prints lines of: latency NAME MODE STAGE N P50 P99 MIN, or load NAME CLIENTS N FAILED RATE P50 P99; times in microseconds.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTENDERS_MAX 24
#define WORDS_MAX      40
#define CLIENTS_MAX    64
#define SAMPLES_MAX    20000
#define SLICE_US       1000000
#define SLOW_US        60000 // a contender this slow gets fewer samples
#define FILTER_FD      9
enum stage { CREATED, RESULT, GONE, STAGES };
static const char *const stage_name[STAGES] = { "created", "result", "gone" };

enum kind { TOOL, API, FLOOR };

struct contender {
    enum kind kind;
    const char *name;
    const char *filter; // or NULL
    char *word[WORDS_MAX];
    size_t n_words;
    uint64_t *took[STAGES];
    size_t n;
    atomic_size_t n_load, n_failed;
};
static struct contender contender[CONTENDERS_MAX];
static size_t n_contenders;
static atomic_ullong serial;
static char *no_environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

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
    struct timeval patience = { .tv_sec = 30 };
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

// Sends a request and reads the whole answer, of whatever framing, into a NUL-terminated buffer. Returns the status, 0 if the
// connection broke.
static int ask(int fd, const char *request, size_t n, char *answer, size_t size)
{
    size_t have = 0;
    if (write(fd, request, n) != (ssize_t)n)
        return 0;
    for (;;) {
        if (have + 1 >= size)
            return 0;
        ssize_t got = read(fd, answer + have, size - 1 - have);
        if (got <= 0)
            return 0;
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

static bool field(const char *json, const char *name, char *out, size_t size)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *p = strstr(json, quoted);
    p = p ? strchr(p + strlen(quoted), '"') : NULL;
    const char *end = p ? strchr(p + 1, '"') : NULL;
    if (!end || (size_t)(end - p) > size)
        return false;
    memcpy(out, p + 1, (size_t)(end - p - 1));
    out[end - p - 1] = '\0';
    return true;
}

struct client {
    int fd;
    uint16_t port;
    char request[4096], answer[65536];
};

static bool api(const struct contender *c, struct client *k, uint64_t took[STAGES])
{
    static const char create[] = "{\"templateID\":\"base\",\"timeout\":60}";
    uint16_t port = (uint16_t)strtoul(c->word[0], NULL, 10);
    const char *key = c->word[1];
    char id[64], token[128], start[512];

    if (k->fd >= 0 && k->port != port) {
        close(k->fd);
        k->fd = -1;
    }
    if (k->fd < 0)
        k->fd = connect_to(k->port = port);
    size_t w = (size_t)snprintf(start, sizeof start, "{\"process\":{\"cmd\":\"%s\",\"args\":[",
                                c->word[2]);
    for (size_t i = 3; i < c->n_words; i++)
        w += (size_t)snprintf(start + w, sizeof start - w, "%s\"%s\"", i > 3 ? "," : "",
                              c->word[i]);
    w += (size_t)snprintf(start + w, sizeof start - w, "]},\"stdin\":false}");

    uint64_t began = now_us();
    int n = snprintf(k->request, sizeof k->request,
                     "POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "
                     "%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     key, sizeof create - 1, create);
    if (ask(k->fd, k->request, (size_t)n, k->answer, sizeof k->answer) != 201 ||
        !field(k->answer, "sandboxID", id, sizeof id) ||
        !field(k->answer, "envdAccessToken", token, sizeof token))
        return false;
    took[CREATED] = now_us() - began;
    n = snprintf(k->request, sizeof k->request,
                 "POST /process.Process/Start HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: "
                 "%s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n"
                 "Content-Type: application/connect+json\r\nConnect-Protocol-Version: "
                 "1\r\nContent-Length: %zu\r\n\r\n",
                 id, token, w + 5);
    const unsigned char prefix[5] = { 0, 0, 0, (unsigned char)(w >> 8), (unsigned char)w };
    memcpy(k->request + n, prefix, 5);
    memcpy(k->request + n + 5, start, w);
    int status = ask(k->fd, k->request, (size_t)n + 5 + w, k->answer, sizeof k->answer);
    char *body = strstr(k->answer, "\r\n\r\n");
    if (status != 200 || !body ||
        !memmem(body, sizeof k->answer - (size_t)(body - k->answer), "exit status 0", 13))
        return false;
    took[RESULT] = now_us() - began;
    n = snprintf(k->request, sizeof k->request,
                 "DELETE /sandboxes/%s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\n\r\n",
                 id, key);
    if (ask(k->fd, k->request, (size_t)n, k->answer, sizeof k->answer) != 204)
        return false;
    took[GONE] = now_us() - began;
    return true;
}

static bool tool(const struct contender *c, uint64_t took[STAGES])
{
    char id[32], *argv[WORDS_MAX + 1];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;

    snprintf(id, sizeof id, "race-%d-%llu", (int)getpid(), atomic_fetch_add(&serial, 1));
    for (size_t i = 0; i < c->n_words; i++)
        argv[i] = strcmp(c->word[i], "{id}") == 0 ? id : c->word[i];
    argv[c->n_words] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (c->filter)
        posix_spawn_file_actions_addopen(&actions, FILTER_FD, c->filter, O_RDONLY, 0);
    uint64_t began = now_us();
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, no_environment);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        return false;
    took[CREATED] = took[RESULT] = 0;
    took[GONE] = now_us() - began;
    return true;
}

static _Noreturn void enter_and_become(char *const argv[])
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            _exit(126);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount(argv[0], argv[0], NULL, MS_BIND, NULL) == 0 && chdir(argv[0]) == 0 &&
        mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 &&
        syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
        chdir("/") == 0)
        for (const char *const *at = (const char *const[]){ "", "/bin/", "/usr/bin/", NULL };
             *at; at++) {
            char path[256];
            snprintf(path, sizeof path, "%s%s", *at, argv[1]);
            execve(path, argv + 1, no_environment);
        }
    _exit(126);
}

static bool floor_of(const struct contender *c, uint64_t took[STAGES])
{
    struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                        CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                                        CLONE_NEWCGROUP | CLONE_NEWTIME,
                               .exit_signal = SIGCHLD };
    char *argv[WORDS_MAX + 1];
    int status;

    memcpy(argv, c->word, c->n_words * sizeof *argv);
    argv[c->n_words] = NULL;
    uint64_t began = now_us();
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        enter_and_become(argv);
    if (pid < 0 || waitpid((pid_t)pid, &status, 0) < 0 || status != 0)
        return false;
    took[CREATED] = took[RESULT] = 0;
    took[GONE] = now_us() - began;
    return true;
}

static bool run(const struct contender *c, struct client *k, uint64_t took[STAGES])
{
    bool ok = c->kind == API     ? api(c, k, took)
              : c->kind == FLOOR ? floor_of(c, took)
                                 : tool(c, took);
    if (!ok && k->fd >= 0) {
        close(k->fd);
        k->fd = -1;
    }
    return ok;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t percent(const uint64_t *sorted, size_t n, size_t p)
{
    return sorted[(n * p + 99) / 100 - 1];
}

static void latency(size_t n, bool paced)
{
    static struct client k = { .fd = -1 };
    const char *mode = paced ? "paced" : "hot";

    for (size_t w = 0; w < n_contenders; w++)
        contender[w].n = 0;
    for (size_t i = 0; i <= n; i++) // the first round warms caches and is not counted
        for (size_t w = 0; w < n_contenders; w++) {
            struct contender *c = &contender[w];
            uint64_t took[STAGES];
            if (c->n > 10 && c->took[GONE][0] > SLOW_US)
                continue;
            if (paced)
                usleep(60000);
            if (!run(c, &k, took))
                atomic_fetch_add(&c->n_failed, 1);
            else if (i > 0) {
                for (int s = 0; s < STAGES; s++)
                    c->took[s][c->n] = took[s];
                c->n++;
            }
        }
    for (size_t w = 0; w < n_contenders; w++) {
        struct contender *c = &contender[w];
        for (int s = c->kind == API ? CREATED : GONE; s < STAGES && c->n > 0; s++) {
            qsort(c->took[s], c->n, sizeof(uint64_t), compare);
            printf("latency\t%s\t%s\t%s\t%zu\t%lu\t%lu\t%lu\n", c->name, mode, stage_name[s],
                   c->n, percent(c->took[s], c->n, 50), percent(c->took[s], c->n, 99),
                   c->took[s][0]);
        }
        if (c->n == 0)
            printf("failed\t%s\t%s\n", c->name, mode);
    }
}

struct share {
    pthread_t thread;
    struct contender *c;
    uint64_t until_us;
    struct client k;
};

static void *work(void *arg)
{
    struct share *s = arg;
    uint64_t took[STAGES];

    while (now_us() < s->until_us) {
        if (!run(s->c, &s->k, took)) {
            atomic_fetch_add(&s->c->n_failed, 1);
            usleep(1000);
            continue;
        }
        size_t at = atomic_fetch_add(&s->c->n_load, 1);
        if (at < SAMPLES_MAX)
            s->c->took[GONE][at] = took[GONE];
    }
    return NULL;
}

static void load(size_t clients, size_t rounds)
{
    static struct share share[CLIENTS_MAX];
    uint64_t spent[CONTENDERS_MAX] = { 0 };

    for (size_t i = 0; i < CLIENTS_MAX; i++)
        share[i].k.fd = -1;
    for (size_t r = 0; r < rounds; r++)
        for (size_t w = 0; w < n_contenders; w++) {
            usleep(300000); // what the one before left to the kernel is not the next one's
            uint64_t began = now_us();
            for (size_t i = 0; i < clients; i++) {
                share[i].c = &contender[w];
                share[i].until_us = began + SLICE_US;
                if (pthread_create(&share[i].thread, NULL, work, &share[i]) != 0)
                    die("pthread_create");
            }
            for (size_t i = 0; i < clients; i++)
                pthread_join(share[i].thread, NULL);
            spent[w] += now_us() - began;
        }
    for (size_t w = 0; w < n_contenders; w++) {
        struct contender *c = &contender[w];
        size_t n = atomic_load(&c->n_load), kept = n < SAMPLES_MAX ? n : SAMPLES_MAX;
        qsort(c->took[GONE], kept, sizeof(uint64_t), compare);
        printf("load\t%s\t%zu\t%zu\t%zu\t%.1f\t%lu\t%lu\n", c->name, clients, n,
               atomic_load(&c->n_failed), (double)n * 1e6 / (double)spent[w],
               kept ? percent(c->took[GONE], kept, 50) : 0,
               kept ? percent(c->took[GONE], kept, 99) : 0);
    }
}

static void read_contenders(void)
{
    static char line[65536];

    while (n_contenders < CONTENDERS_MAX && fgets(line, sizeof line, stdin)) {
        struct contender *c = &contender[n_contenders++];
        char *rest = strdup(line), *kind;
        rest[strcspn(rest, "\n")] = '\0';
        kind = strsep(&rest, "\t");
        c->kind = strcmp(kind, "api") == 0 ? API : strcmp(kind, "floor") == 0 ? FLOOR : TOOL;
        c->name = strsep(&rest, "\t");
        if (c->kind == TOOL) {
            c->filter = strsep(&rest, "\t");
            if (c->filter && strcmp(c->filter, "-") == 0)
                c->filter = NULL;
        }
        while (rest && c->n_words < WORDS_MAX)
            c->word[c->n_words++] = strsep(&rest, "\t");
        for (int s = 0; s < STAGES; s++)
            if (!(c->took[s] = calloc(SAMPLES_MAX, sizeof(uint64_t))))
                die("calloc");
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage: race latency N | load CLIENTS ROUNDS");
    size_t n = strtoul(argv[2], NULL, 10);
    read_contenders();
    if (strcmp(argv[1], "latency") == 0) {
        if (n == 0 || n >= SAMPLES_MAX)
            die("N");
        latency(n, true);
        fflush(stdout);
        latency(n, false);
    } else {
        if (n == 0 || n > CLIENTS_MAX || argc < 4)
            die("CLIENTS");
        load(n, strtoul(argv[3], NULL, 10));
    }
    return 0;
}
