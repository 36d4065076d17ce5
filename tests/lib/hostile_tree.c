// SPDX-License-Identifier: Apache-2.0
// hostile_tree DIR SEED PROBE CANARY: makes a root file system as somebody would who wants the program that sets sandboxes up to
// act on the host: what it mounts on, writes to or looks at is a link, a device, a pipe, a socket or something odd. The same seed
// gives the same tree. PROBE is the program that runs inside as /bin/bash; CANARY a directory of the host that must not change.
// Says on stdout what it did, one line each.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define DIRS_MAX     400

static uint64_t state;
static const char *canary;
static char dirs[DIRS_MAX][512];
static unsigned n_dirs;

// xorshift64*: the same numbers on every machine.
static uint32_t pick(uint32_t n)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % n;
}

static void need(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "hostile_tree: %s: %s\n", what, strerror(errno));
    exit(1);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void make_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW, mode);
    if (fd < 0)
        return;
    need(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
    fchmod(fd, mode);
    close(fd);
}

static void copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_EXCL, 0755);
    char block[65536];
    need(in >= 0 && out >= 0, from);
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;)
        need(write(out, block, (size_t)n) == n, to);
    close(in);
    close(out);
}

// Of the tree itself, reached without a link: through any other, this program would change the host.
static int open_own(const char *path, uint64_t flags)
{
    struct open_how how = { .flags = flags | O_PATH | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static int is_own_dir(const char *path)
{
    int fd = open_own(path, O_DIRECTORY);
    return fd >= 0 && close(fd) == 0;
}

static int is_own_file(const char *path)
{
    struct stat st;
    int fd = open_own(path, 0);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && close(fd) == 0;
}

// What every tree has before it is spoilt: enough for a program to run.
static void make_plain(const char *probe)
{
    static const char *const dir[] = { "bin", "etc",  "usr",       "usr/bin", "tmp",
                                       "var", "home", "home/user", "root",    "lib" };
    for (size_t i = 0; i < ARRAY_LEN(dir); i++) {
        need(mkdir(dir[i], 0755) == 0, dir[i]);
        snprintf(dirs[n_dirs++], sizeof dirs[0], "%s", dir[i]);
    }
    chmod("tmp", 01777);
    copy(probe, "bin/bash");
    make_file("etc/passwd",
              "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n",
              0644);
    make_file("etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\n", 0644);
    if (pick(2))
        make_file("usr/bin/sudo", "not a program", 04755);
}

static void make_link(const char *path)
{
    static char far[4000];
    char to[1200];
    switch (pick(16)) {
    case 0:
        snprintf(to, sizeof to, "%s", canary);
        break;
    case 1:
        snprintf(to, sizeof to, "%s/file", canary);
        break;
    case 2:
        snprintf(to, sizeof to, "/proc/self/root%s", canary);
        break;
    case 3:
        snprintf(to, sizeof to, "/proc/1/root%s", canary);
        break;
    case 4:
        snprintf(to, sizeof to, "../../../../../../../../..%s", canary);
        break;
    case 5:
        snprintf(to, sizeof to, "/proc/self/fd/%u", pick(64));
        break;
    case 6:
        snprintf(to, sizeof to, "/proc/self/cwd");
        break;
    case 7:
        snprintf(to, sizeof to, "%s", pick(2) ? "/" : "..");
        break;
    case 8:
        snprintf(to, sizeof to, "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
        break;
    case 9:
        snprintf(to, sizeof to, "/nowhere/%u", pick(1000));
        break;
    case 10:
        snprintf(to, sizeof to, "%s", pick(2) ? "/etc" : "/tmp");
        break;
    case 11:
        snprintf(to, sizeof to, "/tmp/%s", pick(2) ? "lower" : "upper");
        break;
    case 12:
        snprintf(to, sizeof to, "/dev/%s", pick(2) ? "null" : "mem");
        break;
    case 13:
        snprintf(to, sizeof to, "%s/new-%u", canary, pick(1000));
        break;
    case 14:
        snprintf(to, sizeof to, "%s/dir/sub", canary);
        break;
    default:
        memset(far, 'x', sizeof far - 1);
        note("%s -> 3999 bytes", path);
        (void)!symlink(far, path);
        return;
    }
    note("%s -> %s", path, to);
    (void)!symlink(to, path);
}

static void make_socket(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) < sizeof at.sun_path) {
        memcpy(at.sun_path, path, strlen(path) + 1);
        (void)bind(fd, (struct sockaddr *)&at, sizeof at);
    }
    close(fd);
}

static void make_device(const char *path)
{
    static const unsigned number[][2] = { { 1, 1 }, { 1, 3 },    { 1, 11 },   { 7, 0 },
                                          { 8, 0 }, { 10, 232 }, { 10, 229 }, { 5, 2 },
                                          { 0, 0 }, { 254, 0 } };
    unsigned k = pick(ARRAY_LEN(number));
    mode_t type = pick(2) ? S_IFCHR : S_IFBLK;
    note("%s is device %c %u:%u", path, type == S_IFCHR ? 'c' : 'b', number[k][0],
         number[k][1]);
    if (mknod(path, type | 0666, makedev(number[k][0], number[k][1])) == 0)
        chmod(path, 0666);
}

// Attributes that the kernel or the overlay could take for orders.
static void add_attributes(const char *path)
{
    static const unsigned char capability[] = {
        1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0
    };
    static const char *const order[][2] = { { "user.overlay.opaque", "y" },
                                            { "user.overlay.redirect", "/etc" },
                                            { "user.overlay.metacopy", "" },
                                            { "user.overlay.origin", "x" },
                                            { "trusted.overlay.redirect", "/../../etc" },
                                            { "user.overlay.whiteout", "y" } };
    unsigned k = pick(ARRAY_LEN(order) + 1);
    int rc = k == ARRAY_LEN(order)
                 ? lsetxattr(path, "security.capability", capability, sizeof capability, 0)
                 : lsetxattr(path, order[k][0], order[k][1], strlen(order[k][1]), 0);
    if (rc == 0)
        note("%s has %s", path, k == ARRAY_LEN(order) ? "every capability" : order[k][0]);
}

// Anything but what it should be, at a place where nothing is.
static void make_odd(const char *path)
{
    switch (pick(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
        make_link(path);
        return;
    case 4:
        note("%s is a file", path);
        make_file(path, "a file\n", 0644);
        return;
    case 5:
        note("%s is a pipe", path);
        (void)mkfifo(path, 0666);
        return;
    case 6:
        note("%s is a socket", path);
        make_socket(path);
        return;
    case 7:
        make_device(path);
        return;
    case 8:
        note("%s is a shut directory", path);
        (void)mkdir(path, (mode_t)(pick(2) ? 0 : 07000));
        return;
    default:
        note("%s is a setuid program", path);
        if (is_own_file("bin/bash") && link("bin/bash", path) == 0)
            chmod(path, 06755);
        else
            make_file(path, "x", 06777);
    }
}

static void remove_whole(const char *path)
{
    char command[700];
    struct stat st;
    if (lstat(path, &st) < 0)
        return;
    if (unlink(path) == 0 || rmdir(path) == 0)
        return;
    snprintf(command, sizeof command, "rm -rf -- '%s'", path);
    need(system(command) == 0, command);
}

// The places that the set-up and the agent use by name.
static void spoil(void)
{
    static const char *const early[] = { "proc", "dev", "sys", "run" };
    static const char *const place[] = { "tmp",
                                         "usr/bin/sudo",
                                         "usr/bin",
                                         "usr",
                                         "etc",
                                         "etc/passwd",
                                         "etc/group",
                                         "home",
                                         "home/user",
                                         "root",
                                         "bin",
                                         "bin/bash",
                                         "var",
                                         "lib",
                                         "etc/profile",
                                         "etc/hosts",
                                         "etc/shells",
                                         "envd",
                                         "proc/sys",
                                         "proc/self",
                                         "proc/kcore",
                                         "dev/null",
                                         "dev/pts",
                                         "dev/shm",
                                         "dev/ptmx",
                                         "sys/devices",
                                         "run/e2b",
                                         "run/e2b/sudo.sock",
                                         "tmp/root",
                                         "tmp/lower",
                                         "tmp/upper",
                                         "lower",
                                         "upper",
                                         "work",
                                         "etc/resolv.conf",
                                         "etc/environment" };
    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        uint32_t what = pick(8);
        if (what == 0)
            make_odd(early[i]);
        else if (what < 5)
            (void)mkdir(early[i], 0755);
    }
    for (uint32_t n = pick(5); n > 0; n--) {
        const char *path = place[pick(ARRAY_LEN(place))];
        char parent[64];
        snprintf(parent, sizeof parent, "%s", path);
        char *slash = strrchr(parent, '/');
        if (slash)
            *slash = '\0';
        if (slash && strchr(parent, '/') == NULL)
            (void)mkdir(parent, 0755);
        if (slash && !is_own_dir(parent))
            continue;
        remove_whole(path);
        make_odd(path);
    }
}

static void odd_name(char *out, size_t size)
{
    static const char *const name[] = { "-rf",
                                        "new\nline",
                                        "tab\t",
                                        "\"quotes\"",
                                        "'",
                                        "\\",
                                        "\xff\xfe",
                                        "\xe2\x80\xae"
                                        "txt",
                                        " ",
                                        "...",
                                        "$(id)",
                                        ";",
                                        "%00",
                                        "a\rb",
                                        "\033[2J",
                                        "*",
                                        "~",
                                        "con:0" };
    uint32_t k = pick(ARRAY_LEN(name) + 6);
    if (k < ARRAY_LEN(name)) {
        snprintf(out, size, "%s", name[k]);
        return;
    }
    if (k == ARRAY_LEN(name)) {
        memset(out, 'n', 254); // mkfs.erofs of Debian 12 cuts a 255th byte off
        out[254] = '\0';
        return;
    }
    snprintf(out, size, "f%u", pick(100000));
}

// Real directories only: what is made below them stays in the tree.
static void fill(void)
{
    char name[300], path[900];
    for (uint32_t n = 10 + pick(60); n > 0; n--) {
        struct stat st;
        const char *dir = n_dirs && pick(4) ? dirs[pick(n_dirs)] : ".";
        if (!is_own_dir(dir))
            continue;
        odd_name(name, sizeof name);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (lstat(path, &st) == 0)
            continue;
        if (pick(4) == 0 && strlen(path) < sizeof dirs[0] && n_dirs < DIRS_MAX) {
            if (mkdir(path, 0755) == 0)
                memcpy(dirs[n_dirs++], path, strlen(path) + 1);
        } else {
            make_odd(path);
        }
        if (pick(6) == 0)
            add_attributes(path);
        static const uid_t owner[] = { 0, 1, 1000, 65533, 65534, 65535, 65536, 4000000000u };
        if (pick(5) == 0)
            (void)!lchown(path, owner[pick(8)], owner[pick(8)]);
    }
}

static void dig(void)
{
    char name[200];
    int depth = 5 + (int)pick(40);
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    name[1 + pick(80)] = '\0';
    for (int i = 0; i < depth && i * (int)strlen(name) < 3000; i++)
        if (mkdir(name, 0755) < 0 || chdir(name) < 0)
            break;
    make_link("end");
}

int main(int argc, char **argv)
{
    need(argc == 5, "usage: hostile_tree DIR SEED PROBE CANARY");
    canary = argv[4];
    state = strtoull(argv[2], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    umask(0);
    need(mkdir(argv[1], 0755) == 0 && chdir(argv[1]) == 0, argv[1]);
    for (int i = 0; i < 8; i++)
        pick(2);
    make_plain(argv[3]);
    spoil();
    fill();
    for (uint32_t n = pick(3); n > 0; n--) {
        static const char *const place[] = { ".", "etc", "usr", "usr/bin", "bin", "home" };
        const char *path = place[pick(ARRAY_LEN(place))];
        if (is_own_dir(path))
            add_attributes(path);
    }
    if (pick(4) == 0)
        dig();
    return 0;
}
