/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "firebreak/invariants.h"

#define WARDEN_FDS  64u /* beside two for each sandbox and one for each image */
#define MONITOR_FDS 48u
#define API_UID_MIN 1u
/* src/warden/main.c says why each of them. */
#define WARDEN_CAPS UINT64_C(0x12c00fb)

const char *const hierarchy_name[HIERARCHY_N] = {
    [HIERARCHY_V2] = "unified", [HIERARCHY_MEMORY] = "memory",
    [HIERARCHY_CPU] = "cpu",    [HIERARCHY_CPUACCT] = "cpuacct",
    [HIERARCHY_PIDS] = "pids",  [HIERARCHY_FREEZER] = "freezer",
};

void findings_add(struct findings *f, unsigned invariant, const char *subject, const char *fmt,
                  ...)
{
    va_list ap;

    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 32;
        struct finding *at = realloc(f->at, cap * sizeof *at);
        if (!at) {
            f->cut = true;
            return;
        }
        f->at = at;
        f->cap = cap;
    }
    struct finding *one = &f->at[f->n++];
    *one = (struct finding){ .invariant = invariant };
    (void)snprintf(one->subject, sizeof one->subject, "%s", subject);
    va_start(ap, fmt);
    (void)vsnprintf(one->evidence, sizeof one->evidence, fmt, ap);
    va_end(ap);
}

void findings_fini(struct findings *f)
{
    free(f->at);
    *f = (struct findings){ 0 };
}

/* --- what the rules ask --- */

const struct sight_process *sight_daemon(const struct sight *s, enum sight_role role)
{
    for (size_t i = 0; i < s->process.n; i++)
        if (s->process.at[i].role == role && s->process.at[i].state != 'Z')
            return &s->process.at[i];
    return NULL;
}

static bool is_ours(const struct sight *s, uint32_t uid)
{
    return uid >= s->uid_base &&
           uid < s->uid_base + (uint64_t)s->max_sandboxes * UIDS_PER_SANDBOX;
}

/* The sandboxes' uids among its four; each has its slot. */
static bool slot_of(const struct sight *s, const struct sight_process *p, uint32_t *slot)
{
    for (size_t i = 0; i < ARRAY_LEN(p->uid); i++)
        if (is_ours(s, p->uid[i])) {
            *slot = (p->uid[i] - s->uid_base) / UIDS_PER_SANDBOX;
            return true;
        }
    return false;
}

static const struct sight_record *record_of_slot(const struct sight *s, uint32_t slot)
{
    size_t lo = 0, hi = s->record.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->record.at[mid].slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->record.n && s->record.at[lo].slot == slot && s->record.at[lo].readable
               ? &s->record.at[lo]
               : NULL;
}

static const struct sight_record *record_of_id(const struct sight *s, const char *id)
{
    for (size_t i = 0; i < s->record.n; i++)
        if (s->record.at[i].readable && strcmp(s->record.at[i].id, id) == 0)
            return &s->record.at[i];
    return NULL;
}

static bool has_group(const struct sight *s, const char *id, enum sight_hierarchy h)
{
    for (size_t i = 0; i < s->group.n; i++)
        if (s->group.at[i].hierarchy == h && strcmp(s->group.at[i].id, id) == 0)
            return true;
    return false;
}

static bool has_any_group(const struct sight *s, const char *id)
{
    for (size_t i = 0; i < s->group.n; i++)
        if (strcmp(s->group.at[i].id, id) == 0)
            return true;
    return false;
}

static const char *any_group(const struct sight_process *p)
{
    for (int h = 0; h < HIERARCHY_N; h++)
        if (p->group[h][0])
            return p->group[h];
    return "";
}

static bool of_sandbox(const struct sight_process *p)
{
    return p->role == ROLE_SANDBOX || p->role == ROLE_MONITOR;
}

static void process_name(const struct sight_process *p, char out[96])
{
    (void)snprintf(out, 96, "process %d.%llu", (int)p->pid, (unsigned long long)p->start_time);
}

#define PROCESS_FORMAT  "process %d (%s), uid %u, group '%s'"
#define PROCESS_ARGS(p) (int)(p)->pid, (p)->name, (p)->uid[1], any_group(p)

/* --- processes. A zombie has left its groups and namespaces already. --- */

/* On v1 the monitor is kept out of what its sandbox must not exhaust or freeze for it (lib/sys/cgroup.h); on v2 a group below is what
 * is frozen, and there is no reason to be out of a v1 freezer. */
static bool may_be_outside(const struct sight *s, const struct sight_process *p, const char *id,
                           enum sight_hierarchy h)
{
    return p->role == ROLE_MONITOR &&
           (h == HIERARCHY_MEMORY || h == HIERARCHY_PIDS ||
            (h == HIERARCHY_FREEZER && !has_group(s, id, HIERARCHY_V2)));
}

static void process_in_place(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        char name[96];
        uint32_t slot;
        if (!of_sandbox(p) || p->state == 'Z' || !slot_of(s, p, &slot))
            continue;
        const char *id = any_group(p);
        process_name(p, name);
        if (!*id || !record_of_id(s, id)) {
            findings_add(out, self, name,
                         PROCESS_FORMAT " is in no group of a recorded sandbox",
                         PROCESS_ARGS(p));
            continue;
        }
        for (int h = 0; h < HIERARCHY_N; h++)
            if (has_group(s, id, (enum sight_hierarchy)h) && strcmp(p->group[h], id) != 0 &&
                !may_be_outside(s, p, id, (enum sight_hierarchy)h))
                findings_add(out, self, name, PROCESS_FORMAT " is outside of it in '%s'",
                             PROCESS_ARGS(p), hierarchy_name[h]);
    }
}

static void process_in_pid_namespace(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        char name[96];
        if (p->role != ROLE_SANDBOX || p->state == 'Z' || p->n_pid_namespaces > 1)
            continue;
        process_name(p, name);
        findings_add(out, self, name, PROCESS_FORMAT " sees the processes of the host",
                     PROCESS_ARGS(p));
    }
}

static void process_in_own_network(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        char name[96];
        if (p->role != ROLE_SANDBOX || p->state == 'Z' || p->netns != s->host_netns)
            continue;
        process_name(p, name);
        findings_add(out, self, name, PROCESS_FORMAT " is in the network of the host",
                     PROCESS_ARGS(p));
    }
}

struct owner {
    uint64_t netns;
    const char *id;
    const struct sight_process *p;
};

static int by_netns(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->netns != y->netns)
        return x->netns < y->netns ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void network_of_one(const struct sight *s, unsigned self, struct findings *out)
{
    AUTO_FREE struct owner *all = calloc(s->process.n + 1, sizeof *all);
    size_t n = 0;

    for (size_t i = 0; all && i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        if (of_sandbox(p) && p->netns && p->netns != s->host_netns && *any_group(p))
            all[n++] = (struct owner){ p->netns, any_group(p), p };
    }
    if (n > 0)
        qsort(all, n, sizeof *all, by_netns);
    for (size_t i = 1; i < n; i++) {
        char name[96];
        if (all[i].netns != all[i - 1].netns || strcmp(all[i].id, all[i - 1].id) == 0)
            continue;
        process_name(all[i].p, name);
        findings_add(out, self, name, PROCESS_FORMAT " is in the network of '%s'",
                     PROCESS_ARGS(all[i].p), all[i - 1].id);
    }
}

static void uids_of_one(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        const char *id = any_group(p);
        char name[96];
        if (!of_sandbox(p) || p->state == 'Z' || !*id || !record_of_id(s, id))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(p->uid); k++) {
            uint32_t slot = is_ours(s, p->uid[k]) ? (p->uid[k] - s->uid_base) / UIDS_PER_SANDBOX
                                                  : UINT32_MAX;
            const struct sight_record *r = record_of_slot(s, slot);
            /* Host ids are those of a monitor that has just been cloned. */
            if ((slot == UINT32_MAX && p->role == ROLE_MONITOR) ||
                (r && strcmp(r->id, id) == 0))
                continue;
            process_name(p, name);
            findings_add(out, self, name,
                         PROCESS_FORMAT " has uid %u, which is not of its range",
                         PROCESS_ARGS(p), p->uid[k]);
            break;
        }
    }
}

static void zombie_reaped(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        const struct sight_process *warden = sight_daemon(s, ROLE_WARDEN);
        char name[96];
        if (p->state != 'Z' || !warden || p->parent != warden->pid)
            continue;
        process_name(p, name);
        findings_add(out, self, name, "process %d (%s) waits for the warden, process %d",
                     (int)p->pid, p->name, (int)warden->pid);
    }
}

/* --- records --- */

static void record_readable(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->record.n; i++) {
        char name[96];
        if (s->record.at[i].readable)
            continue;
        (void)snprintf(name, sizeof name, "record %u", s->record.at[i].slot);
        findings_add(out, self, name, "RUN/sb/%u.rec is no record of that slot",
                     s->record.at[i].slot);
    }
}

static void record_unique(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->record.n; i++) {
        const struct sight_record *r = &s->record.at[i];
        const struct sight_record *first = r->readable ? record_of_id(s, r->id) : NULL;
        if (first && first != r)
            findings_add(out, self, r->id, "sandbox %s has slots %u and %u", r->id, first->slot,
                         r->slot);
    }
}

static void record_has_groups(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->record.n; i++) {
        const struct sight_record *r = &s->record.at[i];
        if (r->readable && !has_any_group(s, r->id))
            findings_add(out, self, r->id, "sandbox %s (slot %u) has a record and no group",
                         r->id, r->slot);
    }
}

/* Its last uid: nobody else in the range can have it. */
static unsigned count_monitors(const struct sight *s, uint32_t slot)
{
    uint32_t uid = s->uid_base + slot * UIDS_PER_SANDBOX + UIDS_PER_SANDBOX - 1;
    unsigned n = 0;

    for (size_t i = 0; i < s->process.n; i++)
        n += s->process.at[i].uid[1] == uid &&
             (s->process.at[i].role == ROLE_MONITOR || s->process.at[i].state == 'Z');
    return n;
}

static void record_has_monitor(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->record.n; i++) {
        const struct sight_record *r = &s->record.at[i];
        if (!r->readable || record_of_id(s, r->id) != r || !has_any_group(s, r->id))
            continue;
        unsigned n = count_monitors(s, r->slot);
        if (n != 1)
            findings_add(out, self, r->id, "sandbox %s (slot %u) has %u monitors", r->id,
                         r->slot, n);
    }
}

static void monitor_has_record(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        char name[96];
        uint32_t slot;
        if (p->role != ROLE_MONITOR || p->state == 'Z' || !slot_of(s, p, &slot) ||
            record_of_slot(s, slot))
            continue;
        process_name(p, name);
        findings_add(out, self, name, PROCESS_FORMAT " has no record in slot %u",
                     PROCESS_ARGS(p), slot);
    }
}

static void group_has_record(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->group.n; i++) {
        const struct sight_group *g = &s->group.at[i];
        if (!record_of_id(s, g->id))
            findings_add(out, self, g->id, "group '%s' in hierarchy '%s'", g->id,
                         hierarchy_name[g->hierarchy]);
    }
}

/* --- the registry. Its rows and the warden's records differ while one of the two daemons is down. --- */

static const struct sight_row *row_of(const struct sight *s, const char *id)
{
    for (size_t i = 0; i < s->row.n; i++)
        if (strcmp(s->row.at[i].id, id) == 0)
            return &s->row.at[i];
    return NULL;
}

static bool comparable(const struct sight *s)
{
    return s->registry_read && sight_daemon(s, ROLE_WARDEN) && sight_daemon(s, ROLE_API);
}

static void row_has_record(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; comparable(s) && i < s->row.n; i++)
        if (s->row.at[i].state == ROW_RUNNING && !record_of_id(s, s->row.at[i].id))
            findings_add(out, self, s->row.at[i].id, "sandbox %s runs by the registry only",
                         s->row.at[i].id);
}

static bool lacks_row(const struct sight *s, const struct sight_record *r)
{
    return r->readable && record_of_id(s, r->id) == r && has_any_group(s, r->id) &&
           !row_of(s, r->id);
}

/* Those of the pool are told apart by their number only: which they are, the API alone knows. */
static void record_has_row(const struct sight *s, unsigned self, struct findings *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s->record.n; i++)
        n += lacks_row(s, &s->record.at[i]);
    if (n <= s->pooled)
        return;
    for (size_t i = 0; comparable(s) && i < s->record.n; i++) {
        const struct sight_record *r = &s->record.at[i];
        if (lacks_row(s, r))
            findings_add(out, self, r->id, "sandbox %s (slot %u) is not in the registry", r->id,
                         r->slot);
    }
}

/* --- the network. Who looks from another network namespace than the warden's sees nothing of it. --- */

static bool sees_network(const struct sight *s)
{
    const struct sight_process *warden = sight_daemon(s, ROLE_WARDEN);
    return !warden || warden->netns == s->host_netns;
}

static const struct sight_interface *interface_of(const struct sight *s, const char *id)
{
    for (size_t i = 0; i < s->interface.n; i++)
        if (strcmp(s->interface.at[i].id, id) == 0)
            return &s->interface.at[i];
    return NULL;
}

static void interface_has_record(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->interface.n; i++) {
        const struct sight_interface *f = &s->interface.at[i];
        if (!record_of_id(s, f->id) || interface_of(s, f->id) != f)
            findings_add(out, self, f->name, "interface %s is of '%s'%s", f->name, f->id,
                         record_of_id(s, f->id) ? ", which has another" : "");
    }
}

static void network_has_interface(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; sees_network(s) && i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        const char *id = any_group(p);
        if (p->role != ROLE_MONITOR || p->state == 'Z' || !record_of_id(s, id))
            continue;
        const struct sight_interface *f = interface_of(s, id);
        if (p->has_network && !f)
            findings_add(out, self, id, "sandbox %s has a network and no interface here", id);
        else if (!p->has_network && f)
            findings_add(out, self, id, "sandbox %s has the interface %s here and no network",
                         id, f->name);
    }
}

static const struct sight_element *element_of(const struct sight *s, const char *interface)
{
    for (size_t i = 0; i < s->element.n; i++)
        if (*interface && strcmp(s->element.at[i].interface, interface) == 0)
            return &s->element.at[i];
    return NULL;
}

static bool has_interface(const struct sight *s, const char *name)
{
    for (size_t i = 0; i < s->interface.n; i++)
        if (strcmp(s->interface.at[i].name, name) == 0)
            return true;
    return false;
}

/* Is that address, in that set, of a sandbox? src is the set that says which sandboxes there are. */
static bool in_set(const struct sight *s, const char *set, uint32_t addr)
{
    for (size_t i = 0; i < s->element.n; i++)
        if (s->element.at[i].addr == addr && strcmp(s->element.at[i].set, set) == 0)
            return true;
    return false;
}

#define QUAD(a) (a) >> 24, (a) >> 16 & 255, (a) >> 8 & 255, (a)&255

static void element_has_interface(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; sees_network(s) && i < s->element.n; i++) {
        const struct sight_element *m = &s->element.at[i];
        char name[96];
        bool is_src = m->interface[0] != '\0';
        if (is_src ? has_interface(s, m->interface) : in_set(s, "src", m->addr))
            continue;
        (void)snprintf(name, sizeof name, "%s %s %u.%u.%u.%u", m->set, m->interface,
                       QUAD(m->addr));
        findings_add(out, self, name, "the set %s lets through %u.%u.%u.%u%s%s", m->set,
                     QUAD(m->addr), is_src ? " of the interface " : ", which no interface has",
                     m->interface);
    }
}

static void interface_has_element(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->interface.n; i++) {
        const struct sight_interface *f = &s->interface.at[i];
        const struct sight_element *m = element_of(s, f->name);
        if (!record_of_id(s, f->id) || interface_of(s, f->id) != f)
            continue;
        if (!m || !in_set(s, "down", m->addr))
            findings_add(out, self, f->name, "interface %s of sandbox %s: %s", f->name, f->id,
                         !s->has_table ? "there is no packet table"
                         : !m          ? "its source address is not in the packet table"
                                       : "its address is not in the set down");
    }
}

/* --- files, mounts, devices --- */

static void add_texts(const struct sight_text *at, size_t n, unsigned self,
                      struct findings *out)
{
    for (size_t i = 0; i < n; i++)
        findings_add(out, self, at[i].text, "%s", at[i].text);
}

static void file_has_owner(const struct sight *s, unsigned self, struct findings *out)
{
    add_texts(s->stray.at, s->stray.n, self, out);
}

static void no_mount_on_host(const struct sight *s, unsigned self, struct findings *out)
{
    add_texts(s->mount.at, s->mount.n, self, out);
}

/* A device frees itself with its last mount, and only the warden and sandboxes have those. */
static void loop_in_use(const struct sight *s, unsigned self, struct findings *out)
{
    if (!sight_daemon(s, ROLE_WARDEN) && s->record.n == 0)
        add_texts(s->loop.at, s->loop.n, self, out);
}

/* --- the daemons --- */

static void daemon_single(const struct sight *s, unsigned self, struct findings *out)
{
    const struct sight_process *warden = sight_daemon(s, ROLE_WARDEN);

    for (size_t i = 0; warden && i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        char name[96];
        if (p->role != ROLE_WARDEN || p == warden || p->state == 'Z')
            continue;
        process_name(p, name);
        findings_add(out, self, name, "processes %d and %d are both the warden",
                     (int)warden->pid, (int)p->pid);
    }
}

static const char *posture_fault(const struct sight_process *p)
{
    if (!p->no_new_privs)
        return "has not set no_new_privs";
    if (!p->filtered)
        return "has no system call filter";
    if (p->role == ROLE_WARDEN)
        return (p->caps & ~WARDEN_CAPS) != 0 ? "has capabilities that it does not need" : NULL;
    if (p->caps != 0)
        return "has capabilities";
    return p->uid[0] < API_UID_MIN || p->uid[1] < API_UID_MIN ? "is root" : NULL;
}

/* Has it come so far that it must have dropped what it needed to begin? A monitor then has its last uid. */
static bool has_settled(const struct sight *s, const struct sight_process *p)
{
    return p->state != 'Z' &&
           (p->role == ROLE_WARDEN || p->role == ROLE_API ||
            (p->role == ROLE_MONITOR && is_ours(s, p->uid[1]) &&
             (p->uid[1] - s->uid_base) % UIDS_PER_SANDBOX == UIDS_PER_SANDBOX - 1));
}

static void daemon_posture(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        const char *fault = has_settled(s, p) ? posture_fault(p) : NULL;
        char name[96];
        if (!fault)
            continue;
        process_name(p, name);
        findings_add(out, self, name, PROCESS_FORMAT " %s", PROCESS_ARGS(p), fault);
    }
}

static void descriptors_bounded(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        const struct sight_process *p = &s->process.at[i];
        unsigned most = p->role == ROLE_MONITOR
                            ? MONITOR_FDS
                            : WARDEN_FDS + s->n_images + 2 * (unsigned)s->record.n;
        char name[96];
        if ((p->role != ROLE_MONITOR && p->role != ROLE_WARDEN) || p->n_fds <= most)
            continue;
        process_name(p, name);
        findings_add(out, self, name,
                     PROCESS_FORMAT " has %u descriptors, at most %u are right",
                     PROCESS_ARGS(p), p->n_fds, most);
    }
}

/* --- after the end --- */

static void stopped_without_process(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->process.n; i++) {
        char name[96];
        if (s->process.at[i].state == 'Z')
            continue; /* it has ended; its parent has not looked yet */
        process_name(&s->process.at[i], name);
        findings_add(out, self, name, PROCESS_FORMAT " still runs",
                     PROCESS_ARGS(&s->process.at[i]));
    }
}

static void stopped_without_record(const struct sight *s, unsigned self, struct findings *out)
{
    for (size_t i = 0; i < s->record.n; i++)
        findings_add(out, self, s->record.at[i].id,
                     "sandbox %s has its record in slot %u still", s->record.at[i].id,
                     s->record.at[i].slot);
}

static void stopped_without_network(const struct sight *s, unsigned self, struct findings *out)
{
    if (s->has_table)
        findings_add(out, self, "table", "the packet table is there still");
    for (size_t i = 0; i < s->interface.n; i++)
        findings_add(out, self, s->interface.at[i].name, "interface %s is there still",
                     s->interface.at[i].name);
}

const struct invariant invariants[] = {
    { "process_in_place",
      "a process with a sandbox's uid is in the cgroups of a recorded sandbox",
      process_in_place, false },
    { "process_in_pid_namespace", "a process of a sandbox is in a pid namespace of its own",
      process_in_pid_namespace, false },
    { "process_in_own_network", "no process of a sandbox is in the host's network namespace",
      process_in_own_network, false },
    { "network_of_one", "no two sandboxes share a network namespace", network_of_one, false },
    { "uids_of_one", "a process in a sandbox's cgroup has uids of that sandbox's range only",
      uids_of_one, false },
    { "zombie_reaped", "the warden collects what ends", zombie_reaped, false },
    { "record_readable", "a record is whole and in its own slot", record_readable, false },
    { "record_unique", "a sandbox has one slot, a slot one sandbox", record_unique, false },
    { "record_has_groups", "a recorded sandbox has its cgroups", record_has_groups, false },
    { "record_has_monitor", "a recorded sandbox has one monitor", record_has_monitor, false },
    { "monitor_has_record", "a monitor has a record", monitor_has_record, false },
    { "group_has_record",
      "a cgroup of the instance, in any hierarchy, is of a recorded sandbox", group_has_record,
      false },
    { "row_has_record", "a sandbox that runs by the registry has a record", row_has_record,
      false },
    { "record_has_row", "a recorded sandbox is in the registry", record_has_row, false },
    { "interface_has_record",
      "an interface of the instance is of a recorded sandbox, which has no other",
      interface_has_record, false },
    { "network_has_interface",
      "a sandbox with a network has its interface on the host, and the reverse",
      network_has_interface, false },
    { "element_has_interface",
      "the packet table opens nothing but to interfaces that are there", element_has_interface,
      false },
    { "interface_has_element", "an interface of a sandbox is in the packet table, both ways",
      interface_has_element, false },
    { "file_has_owner", "a file in the run-time directory is of a daemon or a recorded sandbox",
      file_has_owner, false },
    { "no_mount_on_host", "the host's mount table shows nothing of the instance",
      no_mount_on_host, false },
    { "loop_in_use", "no loop device of an image outlives warden and sandboxes", loop_in_use,
      false },
    { "daemon_single", "one warden runs", daemon_single, false },
    { "daemon_posture",
      "warden, API and monitors have dropped what they must not have, and are filtered",
      daemon_posture, false },
    { "descriptors_bounded",
      "warden and monitors hold no more descriptors than their sandboxes need",
      descriptors_bounded, false },
    { "stopped_without_process", "no process of a stopped instance runs",
      stopped_without_process, true },
    { "stopped_without_record", "no record of a stopped instance is left",
      stopped_without_record, true },
    { "stopped_without_network",
      "no interface and no packet table of a stopped instance is left", stopped_without_network,
      true },
};
const unsigned invariants_n = ARRAY_LEN(invariants);

void invariants_check(const struct sight *s, bool stopped, struct findings *out)
{
    for (unsigned i = 0; i < invariants_n; i++)
        if (stopped || !invariants[i].when_stopped)
            invariants[i].check(s, i, out);
}
