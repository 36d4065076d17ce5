// SPDX-License-Identifier: Apache-2.0
// attack: write into the program that runs as process 1, of which all sandboxes share one copy, through its link in proc and its other name.
// (Outside: into a program of this test that has just ended.)
// args outside: outside
// args inside: inside
// control: got through to the program
// inside: refused (EROFS|ETXTBSY|EACCES|EPERM) for all 4
#include "probe.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int refused;

static int writes(const char *path, int flags)
{
    char again[64];
    int fd = open(path, O_RDONLY | flags);
    if (fd < 0) { // not even that
        refused += errno == EACCES;
        return 0;
    }
    snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
    int w = open(again, O_WRONLY);
    refused +=
        w < 0 && (errno == EROFS || errno == ETXTBSY || errno == EACCES || errno == EPERM);
    if (w >= 0 && write(w, "#!", 2) == 2)
        return 1;
    return 0;
}

static int outside(void)
{
    char at[64];
    int from = open("/proc/self/exe", O_RDONLY), to = open("victim", O_CREAT | O_WRONLY, 0755);
    char block[65536];
    must(from >= 0 && to >= 0, "copy this program");
    for (ssize_t n; (n = read(from, block, sizeof block)) > 0;)
        must(write(to, block, (size_t)n) == n, "copy this program");
    close(to);
    pid_t child = fork();
    if (child == 0) {
        execl("./victim", "victim", "wait", (char *)NULL);
        _exit(1);
    }
    snprintf(at, sizeof at, "/proc/%d/exe", child);
    usleep(100000);
    int kept = open(at, O_RDONLY);
    must(kept >= 0, "open its link in proc");
    waitpid(child, NULL, 0);
    snprintf(at, sizeof at, "/proc/self/fd/%d", kept);
    here();
    return writes(at, 0) ? say("got through to the program") : outcome(-1);
}

int main(int argc, char **argv)
{
    must(argc == 2, "know where it is");
    if (strcmp(argv[1], "wait") == 0)
        return usleep(300000) != 0;
    if (strcmp(argv[1], "outside") == 0)
        return outside();
    must(access("/usr/bin/sudo", R_OK) == 0, "see the program");
    here();
    if (writes("/proc/1/exe", 0) || writes("/usr/bin/sudo", 0))
        return say("got through to the program");
    int fd = open("/usr/bin/sudo", O_WRONLY | O_TRUNC);
    refused +=
        fd < 0 && (errno == EROFS || errno == ETXTBSY || errno == EACCES || errno == EPERM);
    int rc = chmod("/proc/1/exe", 0777);
    refused += rc < 0 && (errno == EROFS || errno == EPERM || errno == EACCES);
    return say("refused EROFS for all %d", refused);
}
