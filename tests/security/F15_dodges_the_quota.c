// SPDX-License-Identifier: Apache-2.0
// attack: have more bytes than the disk by files that have no name, holes that are filled, space that is reserved, and attributes
// args outside: 300
// args inside: 100000
// outside: unshare --mount sh -c 'mkdir -p many && mount -t tmpfs -o size=4g none many && cd many && exec "$@"' sh
// control: nameless got through, hole got through, reserved got through, attributes .*, links got through
// inside: nameless ENOSPC 1[12]\d MiB, hole ENOSPC 1[12]\d MiB, reserved ENOSPC \d+ MiB, attributes ENOSPC \d+ MiB, links (EMLINK|ENOSPC) \d+ MiB
// where: apart, small
#include "probe.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static char block[1 << 20];
static volatile long *done;

static int nameless(long mib)
{
    int fd = open("f", O_CREAT | O_WRONLY, 0600);
    must(fd >= 0 && unlink("f") == 0, "make a file without a name");
    for (*done = 0; *done < mib; ++*done)
        if (write(fd, block, sizeof block) < 0)
            return errno;
    return 0;
}
static int hole(long mib)
{
    int fd = open("f", O_CREAT | O_WRONLY, 0600);
    must(fd >= 0 && unlink("f") == 0 && ftruncate(fd, (off_t)mib << 20) == 0, "make a hole");
    for (*done = 0; *done < mib; ++*done)
        if (pwrite(fd, block, sizeof block, (off_t)(mib - 1 - *done) << 20) < 0)
            return errno;
    return 0;
}
static int reserved(long mib)
{
    int fd = open("f", O_CREAT | O_WRONLY, 0600);
    must(fd >= 0 && unlink("f") == 0, "make a file");
    for (*done = 0; *done < mib; *done += 16)
        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, *done << 20, 16 << 20) < 0)
            return errno;
    return 0;
}
static int attributes(long mib)
{
    char name[64];
    for (*done = 0; *done < mib; ++*done) {
        snprintf(name, sizeof name, "x%ld", *done);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            return errno;
        for (int i = 0; i < 16; i++) {
            snprintf(name, sizeof name, "user.%d", i);
            if (fsetxattr(fd, name, block, 65536, 0) < 0)
                return errno;
        }
        close(fd);
    }
    return 0;
}
static int links(long mib)
{
    char name[64];
    int fd = open("to", O_CREAT | O_WRONLY, 0600);
    must(fd >= 0, "make a file");
    for (*done = 0; *done < mib; ++*done)
        for (int i = 0; i < 16; i++) {
            snprintf(name, sizeof name, "l%ld-%d", *done, i);
            if (link("to", name) < 0)
                return errno;
        }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*take)(long);
    } way[] = { { "nameless", nameless },
                { "hole", hole },
                { "reserved", reserved },
                { "attributes", attributes },
                { "links", links } };
    char line[512] = "", dir[32];
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(done != MAP_FAILED, "map a page");
    memset(block, 1, sizeof block);
    here();
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        int state = 0;
        snprintf(dir, sizeof dir, "way-%zu", i);
        pid_t child = fork();
        must(child >= 0, "fork");
        if (child == 0) {
            must(mkdir(dir, 0700) == 0 && chdir(dir) == 0, "make a directory");
            _exit(way[i].take(mib));
        }
        waitpid(child, &state, 0);
        size_t n = strlen(line);
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%s %s", i ? ", " : "", way[i].name,
                              WIFSIGNALED(state)   ? "killed"
                              : WEXITSTATUS(state) ? strerrorname_np(WEXITSTATUS(state))
                                                   : "got through");
        if (WIFSIGNALED(state) || WEXITSTATUS(state))
            snprintf(line + n, sizeof line - n, " %ld MiB", *done);
        char command[64];
        snprintf(command, sizeof command, "rm -rf %s", dir);
        must(system(command) == 0, "tidy up");
    }
    return say("%s", line);
}
