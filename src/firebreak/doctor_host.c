/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
#include "firebreak/cli.h"
#include "firebreak/doctor.h"
#include "firebreak/programs.h"

/* Which module serves /dev/kvm: the names that exist. kvm_pvm emulates guests in software. */
static const char *kvm_backend(void)
{
    static const char *const names[] = { "kvm_intel", "kvm_amd", "kvm_pvm" };
    char path[64];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "/sys/module/%s", names[i]);
        if (access(path, F_OK) == 0)
            return names[i];
    }
    return "an unknown backend";
}

/* Tells about /dev/kvm and writes why jails are used. This version has no microVM monitor, so the choice is always the jail; a
 * hardware-capable host is told what it could have. */
static void check_kvm(struct doctor *d)
{
    AUTO_CLOSE int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    char seen[160];

    if (kvm < 0) {
        (void)snprintf(seen, sizeof seen, "/dev/kvm cannot be opened: %s", strerror(errno));
    } else {
        int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
        AUTO_CLOSE int vm = version == KVM_API_VERSION ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
        if (vm < 0)
            (void)snprintf(seen, sizeof seen, "/dev/kvm (API %d) makes no machine: %s", version,
                           strerror(errno));
        else
            (void)snprintf(seen, sizeof seen, "/dev/kvm works (API %d, backend %s%s)", version,
                           kvm_backend(),
                           strcmp(kvm_backend(), "kvm_pvm") == 0 ? ", which emulates guests"
                                                                 : "");
    }
    doctor_add(d, CHECK_PASS, "kvm", NULL,
               "%s; this version isolates by jails and does not need it", seen);
    (void)snprintf(d->isolation_why, sizeof d->isolation_why,
                   "this version has no microVM monitor; %s", seen);
}

/* Settings that make the kernel's own attack surface smaller. A value at or above `want` is good (at or below if `at_most`). */
static void check_sysctls(struct doctor *d)
{
    static const struct {
        const char *name;
        int64_t want;
        bool at_most;
    } wanted[] = {
        { "kernel/unprivileged_bpf_disabled", 1, false },
        { "kernel/perf_event_paranoid", 2, false },
        { "kernel/kptr_restrict", 1, false },
        { "kernel/dmesg_restrict", 1, false },
        { "kernel/io_uring_disabled", 1, false },
        { "kernel/yama/ptrace_scope", 1, false },
        { "kernel/kexec_load_disabled", 1, false },
        { "dev/tty/legacy_tiocsti", 0, true },
        { "fs/suid_dumpable", 0, true },
        { "fs/protected_symlinks", 1, false },
        { "fs/protected_hardlinks", 1, false },
        { "fs/protected_fifos", 1, false },
        { "fs/protected_regular", 1, false },
    };
    unsigned absent = 0;

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        char path[96], text[32], hint[96], dotted[64];
        int64_t value;
        (void)snprintf(path, sizeof path, "/proc/sys/%s", wanted[i].name);
        (void)snprintf(dotted, sizeof dotted, "%s", wanted[i].name);
        for (char *c = dotted; *c; c++)
            if (*c == '/')
                *c = '.';
        if (!doctor_read(path, text, sizeof text) ||
            num_parse_i64(str_from(text), -1000, 1000, &value) < 0) {
            absent++;
            continue;
        }
        bool good = wanted[i].at_most ? value <= wanted[i].want : value >= wanted[i].want;
        (void)snprintf(hint, sizeof hint, "sysctl -w %s=%lld", dotted,
                       (long long)wanted[i].want);
        doctor_add(d, good ? CHECK_PASS : CHECK_WARN, "sysctl", hint, "%s=%lld%s", dotted,
                   (long long)value,
                   good ? "" : " weakens the host (sandboxes are filtered anyway)");
    }
    if (absent > 0)
        doctor_add(d, CHECK_PASS, "sysctl_absent", NULL,
                   "%u of %zu settings do not exist on this kernel", absent, ARRAY_LEN(wanted));
}

static void check_memory(struct doctor *d)
{
    char text[4096];
    long n = cli_read_file("/proc/swaps", text, sizeof text - 1);
    unsigned lines = 0;

    for (long i = 0; i < n; i++)
        lines += text[i] == '\n';
    if (n > 0 && lines > 1)
        doctor_add(d, CHECK_WARN, "swap", "swapoff -a, or encrypt it",
                   "%u swap area(s): memory of the services could be written to disk "
                   "(sandboxes never swap)",
                   lines - 1);
    else
        doctor_add(d, CHECK_PASS, "swap", NULL, "off");
    if (doctor_read("/sys/kernel/mm/ksm/run", text, sizeof text) && strcmp(text, "0") != 0)
        doctor_add(d, CHECK_WARN, "ksm", "echo 2 > /sys/kernel/mm/ksm/run",
                   "pages are merged (run=%.8s): timing can tell tenants apart", text);
    else
        doctor_add(d, CHECK_PASS, "ksm", NULL, "off");
}

static void check_cpu(struct doctor *d)
{
    static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
    char text[160], bad[160] = "";
    DIR *v = opendir(dir);

    for (struct dirent *f = v ? readdir(v) : NULL; f; f = readdir(v)) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        if (f->d_name[0] != '.' && doctor_read(path, text, sizeof text) &&
            str_starts(str_from(text), STR("Vulnerable"))) {
            size_t used = strlen(bad);
            (void)snprintf(bad + used, sizeof bad - used, "%s%.40s", used ? ", " : "",
                           f->d_name);
        }
    }
    if (v)
        (void)closedir(v);
    if (*bad)
        doctor_add(d, CHECK_WARN, "cpu_vulnerabilities", "update firmware and kernel",
                   "not mitigated: %s", bad);
    else
        doctor_add(d, CHECK_PASS, "cpu_vulnerabilities", NULL,
                   v ? "all are mitigated or do not apply" : "not told here");
    if (doctor_read("/sys/devices/system/cpu/smt/active", text, sizeof text) &&
        strcmp(text, "1") == 0)
        doctor_add(d, CHECK_WARN, "smt", "boot with nosmt if tenants do not trust each other",
                   "on: two sandboxes can share a core");
    else
        doctor_add(d, CHECK_PASS, "smt", NULL, "off or absent");
}

static void check_installation(struct doctor *d)
{
    static const char *const names[] = { "warden", "jailmon", "envd", "e2b-sandbox" };
    char path[PROGRAM_PATH_MAX + PLACE_PATH_MAX], missing[120] = "";
    struct err ignored;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t used = strlen(missing);
        if (program_find(names[i], path, &ignored) < 0)
            (void)snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "",
                           names[i]);
    }
    if (*missing)
        doctor_add(d, CHECK_FAIL, "programs", "run 'make', or install the package",
                   "missing: %s", missing);
    else
        doctor_add(d, CHECK_PASS, "programs", NULL,
                   "warden, jailmon, envd and e2b-sandbox are found");
    (void)snprintf(path, sizeof path, "%s/templates/base.json", d->place.state);
    if (access(path, R_OK) == 0)
        doctor_add(d, CHECK_PASS, "template", NULL, "%s", path);
    else
        doctor_add(d, CHECK_WARN, "template", "sudo firebreak template build",
                   "no template 'base' yet: %s: %s", path, strerror(errno));
}

void doctor_host(struct doctor *d)
{
    check_kvm(d);
    check_memory(d);
    check_cpu(d);
    check_sysctls(d);
    check_installation(d);
    d->isolation = "jail";
    for (size_t i = 0; i < d->n; i++)
        if (d->check[i].status == CHECK_FAIL)
            d->isolation = "none";
}
