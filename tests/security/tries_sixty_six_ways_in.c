// SPDX-License-Identifier: Apache-2.0
// attack: try 66 things that reach into the kernel, the host or a neighbour, and count those that work
// outside: setpriv --reuid=65534 --regid=65534 --clear-groups
// control: 66 tried, [234]\d reachable: .*io_uring_setup.*
// inside: 66 tried, 5 reachable: AF_UNIX, connect 127.0.0.1, RWX mmap, /dev/shm, lock on image file
// as: user
#include "probe.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static char zeros[256];

// In a child, since some of it would change this process or end it. A signal counts as a refusal.
static long apart(long (*f)(void))
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        errno = 0;
        long r = f();
        _exit(r >= 0 ? 0 : errno > 0 && errno < 255 ? errno : 255);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECONNABORTED;
    return errno == 0 ? 0 : -1;
}
static long writes(const char *path)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    close(fd);
    errno = ENODATA; // covered with /dev/null: what is written there goes nowhere
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) ? -1 : 0;
}
static long reads(const char *path)
{
    char b[16];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    long n = read(fd, b, sizeof b);
    int e = errno;
    close(fd);
    errno = n == 0 ? ENODATA : e;
    return n > 0 ? n : -1; // a file that a mask has emptied is not reached
}
static long connects(const char *ip, int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -1;
    inet_pton(AF_INET, ip, &a.sin_addr);
    long r = connect(s, (struct sockaddr *)&a, sizeof a);
    int e = errno;
    close(s);
    errno = e;
    return r < 0 && (e == EINPROGRESS || (e == ECONNREFUSED && strcmp(ip, "127.0.0.1") == 0))
               ? 0
               : r;
}

static long io_uring(void)
{
    struct io_uring_params p = { 0 };
    return syscall(SYS_io_uring_setup, 4, &p);
}
static long bpf(void)
{
    return syscall(SYS_bpf, 5, zeros, 72);
}
static long perf(void)
{
    return syscall(SYS_perf_event_open, zeros, 0, -1, -1, 0);
}
static long uffd(void)
{
    return syscall(SYS_userfaultfd, 1);
}
static long add_key(void)
{
    return syscall(SYS_add_key, "user", "x", "y", 1, -4);
}
static long persistent_key(void)
{
    return syscall(SYS_keyctl, 22, -1, -4);
}
static long vsock(void)
{
    return socket(40, 1, 0);
}
static long packet(void)
{
    return socket(17, 3, 0);
}
static long netfilter(void)
{
    return socket(16, 3, 12);
}
static long alg(void)
{
    return socket(38, 5, 0);
}
static long xdp(void)
{
    return socket(44, 3, 0);
}
static long raw(void)
{
    return socket(2, 3, 1);
}
static long unix_socket(void)
{
    return socket(1, 1, 0);
}
static long userns(void)
{
    return unshare(CLONE_NEWUSER);
}
static long userns_mount(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -1
                                                    : mount("none", "/tmp", "tmpfs", 0, NULL);
}
static long userns_netfilter(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -1 : netfilter();
}
static long mount_ns(void)
{
    return unshare(CLONE_NEWNS);
}
static long trace(void)
{
    return ptrace(0x4206, getppid(), 0, 0);
}
static long root_dir(void)
{
    return chroot("/");
}
static long root_uid(void)
{
    return setuid(0);
}
static long nice_20(void)
{
    return setpriority(PRIO_PROCESS, 0, -20);
}
static long fifo(void)
{
    struct sched_param p = { .sched_priority = 50 };
    return sched_setscheduler(0, SCHED_FIFO, &p);
}
static long int80(void)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
    errno = r < 0 ? (int)-r : 0;
    return r < 0 ? -1 : 0;
}
static long block_device(void)
{
    unlink("pd");
    long r = mknod("pd", S_IFBLK | 0600, makedev(254, 0));
    if (r == 0)
        r = open("pd", O_RDONLY);
    int e = errno;
    unlink("pd");
    errno = e;
    return r;
}
static long core_pattern(void)
{
    return writes("/proc/sys/kernel/core_pattern");
}
static long sysrq(void)
{
    return writes("/proc/sysrq-trigger");
}
static long kcore(void)
{
    return reads("/proc/kcore");
}
static long kallsyms(void)
{
    return reads("/proc/kallsyms");
}
static long kmsg(void)
{
    return reads("/dev/kmsg");
}
static long keys(void)
{
    return reads("/proc/keys");
}
static long sched_debug(void)
{
    return reads("/sys/kernel/debug/sched/debug");
}
static long timer_list(void)
{
    return reads("/proc/timer_list");
}
static long environ_1(void)
{
    return reads("/proc/1/environ");
}
static long shadow_1(void)
{
    return reads("/proc/1/root/etc/shadow");
}
static long shadow(void)
{
    return reads("/etc/shadow");
}
static long release_agent(void)
{
    return writes("/sys/fs/cgroup/pids/release_agent");
}
static long uevent_helper(void)
{
    return writes("/sys/kernel/uevent_helper");
}
static long tracing(void)
{
    return reads("/sys/kernel/debug/tracing/trace");
}
static long firmware(void)
{
    return open("/sys/firmware", O_RDONLY);
}
static long acpi(void)
{
    DIR *d = opendir("/proc/acpi");
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d && n <= 2)
        errno = ENODATA;
    return d && n > 2 ? 0 : -1;
}
static long binfmt(void)
{
    return writes("/proc/sys/fs/binfmt_misc/register");
}
static long kvm(void)
{
    return writes("/dev/kvm");
}
static long fuse(void)
{
    return writes("/dev/fuse");
}
static long disk(void)
{
    return reads("/dev/vda");
}
static long loop_control(void)
{
    return writes("/dev/loop-control");
}
static long tun(void)
{
    return writes("/dev/net/tun");
}
static long docker(void)
{
    return access("/var/run/docker.sock", W_OK);
}
static long abstract_sockets(void)
{
    static char text[65536];
    int fd = open("/proc/net/unix", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    errno = n < 0 ? errno : ENOENT;
    return n > 0 && strstr(text, " @firebreak-probe") == NULL && strstr(text, " @") ? 0 : -1;
}
static long leaked_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        n += atoi(e->d_name) > 2 && atoi(e->d_name) != dirfd(d);
    errno = ENOENT;
    return n > 0 ? 0 : -1;
}
static long other_pids(void)
{
    DIR *d = opendir("/proc");
    int n = 0;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        n += atoi(e->d_name) > 0;
    errno = ENOENT;
    return n > 8 ? 0 : -1; // envd, a shell or two, and this
}
static long tiocsti(void)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    return fd < 0 ? -1 : ioctl(fd, TIOCSTI, " ");
}
static long metadata(void)
{
    return connects("169.254.169.254", 80);
}
static long lan(void)
{
    return connects("10.0.0.1", 80);
}
static long loopback(void)
{
    return connects("127.0.0.1", 1);
}
static long setuid_file(void)
{
    static const char *const f[] = { "/usr/bin/su", "/bin/su", "/usr/bin/mount",
                                     "/usr/bin/passwd", "/usr/bin/sudo" };
    struct stat st;
    for (size_t i = 0; i < sizeof f / sizeof f[0]; i++)
        if (stat(f[i], &st) == 0 && (st.st_mode & 04000) &&
            prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0)
            return 0;
    errno = EPERM;
    return -1;
}
static long rwx(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
               ? -1
               : 0;
}
static long oom_adj(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : write(fd, "-1000", 5);
}
static long shm(void)
{
    return access("/dev/shm", W_OK);
}
static long image_lock(void)
{
    struct flock l = { .l_type = F_RDLCK };
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : fcntl(fd, F_SETLK, &l);
}
static long open_handle(void)
{
    return syscall(SYS_open_by_handle_at, -100, zeros, 0);
}
static long name_handle(void)
{
    struct {
        unsigned bytes;
        int type;
        char f[128];
    } h = { .bytes = 128 };
    int mount;
    return syscall(SYS_name_to_handle_at, -100, "/", &h, &mount, 0);
}
static long vm_read(void)
{
    char c;
    struct {
        void *p;
        size_t n;
    } here = { &c, 1 }, there = { zeros, 1 };
    return syscall(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0);
}
static long pidfd(void)
{
    return syscall(SYS_pidfd_open, getppid(), 0);
}
static long pidfd_get(void)
{
    return pidfd() < 0 ? -1 : syscall(SYS_pidfd_getfd, (int)pidfd(), 0, 0);
}
static long new_mount(void)
{
    return syscall(SYS_fsopen, "tmpfs", 0);
}
static long kcmp(void)
{
    return syscall(SYS_kcmp, getpid(), getppid(), 0, 0, 0);
}
static long no_random(void)
{
    return syscall(SYS_personality, 0x0040000);
}

static const struct {
    const char *name;
    long (*f)(void);
} way[] = {
    { "io_uring_setup", io_uring },
    { "bpf", bpf },
    { "perf_event_open", perf },
    { "userfaultfd", uffd },
    { "add_key", add_key },
    { "persistent keyring", persistent_key },
    { "AF_VSOCK", vsock },
    { "AF_PACKET", packet },
    { "AF_NETLINK netfilter", netfilter },
    { "AF_ALG", alg },
    { "AF_XDP", xdp },
    { "raw ICMP", raw },
    { "AF_UNIX", unix_socket },
    { "userns", userns },
    { "userns, mount", userns_mount },
    { "userns, netfilter", userns_netfilter },
    { "mount ns", mount_ns },
    { "ptrace parent", trace },
    { "chroot", root_dir },
    { "setuid(0)", root_uid },
    { "nice -20", nice_20 },
    { "SCHED_FIFO", fifo },
    { "int 0x80", int80 },
    { "block device", block_device },
    { "w core_pattern", core_pattern },
    { "w sysrq-trigger", sysrq },
    { "r kcore", kcore },
    { "r kallsyms", kallsyms },
    { "r kmsg", kmsg },
    { "r /proc/keys", keys },
    { "r sched_debug", sched_debug },
    { "r timer_list", timer_list },
    { "/proc/1/environ", environ_1 },
    { "r /proc/1/root/etc/shadow", shadow_1 },
    { "r /etc/shadow", shadow },
    { "w release_agent", release_agent },
    { "w uevent_helper", uevent_helper },
    { "r tracing", tracing },
    { "/sys/firmware", firmware },
    { "/proc/acpi", acpi },
    { "w binfmt_misc", binfmt },
    { "/dev/kvm", kvm },
    { "/dev/fuse", fuse },
    { "r /dev/vda", disk },
    { "/dev/loop-control", loop_control },
    { "/dev/net/tun", tun },
    { "docker.sock", docker },
    { "abstract sockets of the host", abstract_sockets },
    { "leaked descriptors", leaked_fds },
    { "other processes", other_pids },
    { "TIOCSTI", tiocsti },
    { "connect 169.254.169.254", metadata },
    { "connect 10.0.0.1", lan },
    { "connect 127.0.0.1", loopback },
    { "setuid file", setuid_file },
    { "RWX mmap", rwx },
    { "oom_score_adj -1000", oom_adj },
    { "/dev/shm", shm },
    { "lock on image file", image_lock },
    { "open_by_handle_at", open_handle },
    { "name_to_handle_at", name_handle },
    { "process_vm_readv", vm_read },
    { "pidfd_getfd", pidfd_get },
    { "fsopen", new_mount },
    { "kcmp", kcmp },
    { "personality without randomisation", no_random },
};

int main(void)
{
    static char list[4096];
    size_t n = sizeof way / sizeof way[0], reached = 0, at = 0;
    here();
    for (size_t i = 0; i < n; i++) {
        long r = apart(way[i].f);
        printf("%-36s %s\n", way[i].name,
               r >= 0                   ? "REACHED"
               : strerrorname_np(errno) ? strerrorname_np(errno)
                                        : "?");
        if (r >= 0)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", reached++ ? ", " : "",
                                   way[i].name);
    }
    return say("%zu tried, %zu reachable: %s", n, reached, list);
}
