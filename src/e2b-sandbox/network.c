/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/network.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/json.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/netd_client.h"
#include "ipc/ipc.h"

#define FIRST_TOLD_NS      (5 * NS_PER_S)
#define AUTHORITY_LIMIT_NS (3 * NS_PER_S)
#define AUTHORITY_PAUSE_NS 2000000L

static void say(struct failure *f, unsigned status, const char *code, const char *text)
{
    *f = (struct failure){ .status = status, .error_code = code };
    (void)snprintf(f->message, sizeof f->message, "%s", text);
}

/* --- telling netd --- */

/* The creator's metadata for the metadata service. Returns owned, NULL if there is none or too much of it to be told. */
static struct netd_pair *make_pairs(const struct sandbox *s, uint32_t *n)
{
    size_t count = json_object_size(s->metadata);
    struct netd_pair *pair =
        count > 0 && count <= NETD_PAIRS_MAX ? calloc(count, sizeof *pair) : NULL;
    const char *key;
    json_t *value;

    *n = 0;
    if (!pair)
        return NULL;
    json_object_foreach(s->metadata, key, value)
    {
        struct netd_pair *p = &pair[*n];
        size_t key_n = strlen(key), value_n = json_string_length(value);
        if (key_n > NETD_TEXT_MAX || value_n > NETD_TEXT_MAX)
            continue;
        p->key_n = (uint16_t)key_n;
        p->value_n = (uint16_t)value_n;
        memcpy(p->text, key, key_n);
        memcpy(p->text + key_n, json_string_value(value), value_n);
        (*n)++;
    }
    return pair;
}

static int attach(struct app *a, struct sandbox *s, const struct network_wish *w)
{
    struct netd_msg m = { .type = NETD_ATTACH,
                          .id = s->facts.id,
                          .n_rules = (uint32_t)w->policy.n,
                          .n_transforms = (uint32_t)w->n_transforms,
                          .open = w->policy.open };
    AUTO_CLOSE int fd = -1;
    AUTO_FREE struct netd_pair *pair = make_pairs(s, &m.n_pairs);
    const struct netd_more more = { .rule = w->rule, .transform = w->transform, .pair = pair };
    int rc = monitor_netns(s, a->warden, &fd);

    if (rc < 0)
        return rc;
    (void)str_copy(str_from(s->facts.template), m.template, sizeof m.template); /* else "" */
    return netd_call(a->netd, &m, fd, &more);
}

static int set_policy(struct app *a, struct sandbox *s, const struct network_wish *w)
{
    struct netd_msg m = { .type = NETD_POLICY,
                          .id = s->facts.id,
                          .n_rules = (uint32_t)w->policy.n,
                          .n_transforms = (uint32_t)w->n_transforms,
                          .open = w->policy.open };
    const struct netd_more more = { .rule = w->rule, .transform = w->transform };

    return netd_call(a->netd, &m, -1, &more);
}

/* True if there is nothing more to tell of it. */
static bool tell_one(struct app *a, struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->change_lock);
    int rc = s->network.is_attached ? attach(a, s, &s->network.wish) : 0;
    (void)pthread_mutex_unlock(&s->change_lock);
    if (rc < 0 && rc != -ENOENT) {
        log_warn("network_not_told", "sandbox=%s err=\"%s\"", s->facts.id.text,
                 strerrordesc_np(-rc));
        return false;
    }
    AUTO_SANDBOX struct sandbox *still = fleet_find_any(a->fleet, &s->facts.id);
    if (!still &&
        s->network.is_attached) /* it ended meanwhile, and nobody may keep its address */
        network_forget(a, s);
    return true;
}

struct everybody {
    struct sandbox *sandbox[WARDEN_MAX_SANDBOXES];
};

static bool tell_all(void *arg)
{
    struct app *a = arg;
    struct netd_msg synced = { .type = NETD_SYNCED };
    AUTO_FREE struct everybody *all = calloc(1, sizeof *all);
    bool told = all != NULL;
    size_t n = all ? fleet_all(a->fleet, all->sandbox) : 0;

    for (size_t i = 0; i < n; i++) {
        told = tell_one(a, all->sandbox[i]) && told;
        sandbox_put(all->sandbox[i]);
    }
    return told && netd_call(a->netd, &synced, -1, NULL) == 0;
}

int network_start(struct app *a, struct err *e)
{
    const struct netd_events events = { tell_all, a };
    char path[512];

    if (!a->config.internet)
        return 0;
    if (snprintf(path, sizeof path, "%s/netd.sock", a->config.run_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    if (netd_start(&a->netd, path, &events, e) < 0)
        return -e->code;
    if (!netd_wait_told(a->netd, FIRST_TOLD_NS))
        log_warn("started_without_netd", "path=%s", path);
    return 0;
}

/* --- wishes --- */

static int refuse(struct failure *f)
{
    say(f, 403, "network_not_allowed",
        "field 'allow_internet_access' or 'network.allowOut' asks for a network, but this "
        "server gives sandboxes none: leave it out, "
        "or have the operator start it with --internet allow");
    return -1;
}

static int refuse_scope(struct failure *f)
{
    say(f, 403, "insufficient_capability",
        "field 'allow_internet_access' or 'network.allowOut' asks for a network: this needs "
        "the "
        "capability network:egress, of the credential that makes or made the sandbox");
    return -1;
}

int network_admit(const struct app *a, const struct caps *caps, struct network_wish *w,
                  struct failure *f)
{
    bool may = caps_have(caps, CAP_NETWORK_EGRESS);

    if (w->asks_for_access && !may)
        return refuse_scope(f);
    if (!a->config.internet) {
        if (w->internet == INTERNET_ALLOWED)
            w->internet = INTERNET_UNSET;
        return w->asks_for_access ? refuse(f) : 0;
    }
    if (may)
        return 0;
    if (w->internet == INTERNET_ALLOWED)
        return refuse_scope(f);
    w->internet = INTERNET_DENIED;
    w->policy.open = false;
    return 0;
}

int network_admit_change(const struct app *a, const struct caps *caps, struct network_wish *w,
                         struct failure *f)
{
    return !a->config.internet && w->internet == INTERNET_ALLOWED
               ? refuse(f)
               : network_admit(a, caps, w, f);
}

static void say_failed(struct failure *f, int rc)
{
    if (rc == -ENOTCONN || rc == -ETIMEDOUT) {
        say(f, 503, "network_supervisor_unavailable",
            "the supervisor of networks (netd) cannot be reached just now; try again in a "
            "second");
        f->headers = "Retry-After: 1\r\n";
        return;
    }
    say(f, 500, "network_failed",
        "the network could not be set up: see the log of the server and of netd");
}

/* The sandbox's wish becomes w. Under change_lock, or before anybody else has the sandbox. */
static void take_wish(struct sandbox *s, struct network_wish *w)
{
    (void)pthread_mutex_lock(&s->lock);
    struct network_wish old = s->network.wish;
    s->network.wish = *w;
    *w = (struct network_wish){ 0 };
    (void)pthread_mutex_unlock(&s->lock);
    network_wish_fini(&old);
}

static int put_in_force(struct app *a, struct sandbox *s, const struct network_wish *w,
                        struct failure *f)
{
    int rc = 0;

    if (s->network.is_attached)
        rc = set_policy(a, s, w);
    else if (a->config.internet && network_wish_needs_network(w)) {
        s->network.is_attached = true; /* netd may have it even if its answer is lost */
        rc = attach(a, s, w);
        if (rc < 0 && rc != -ENOTCONN && rc != -ETIMEDOUT)
            s->network.is_attached = false;
    }
    if (rc == 0)
        return 0;
    log_error("network_failed", "sandbox=%s err=\"%s\"", s->facts.id.text,
              strerrordesc_np(-rc));
    say_failed(f, rc);
    return -1;
}

static int change(struct app *a, struct sandbox *s, struct network_wish *w, struct failure *f)
{
    struct err e;

    if (put_in_force(a, s, w, f) < 0)
        return -1;
    take_wish(s, w);
    /* Nobody else changes it: change_lock. */
    if (registry_set_network(a->registry, &s->facts.id, &s->network.wish, &e) == 0)
        return 0;
    log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
    say(f, 500, "internal_server_error",
        "the policy is in force, but could not be stored; it holds until the server restarts");
    return -1;
}

int network_change(struct app *a, struct sandbox *s, struct network_wish *w, struct failure *f)
{
    int rc = -1;

    (void)pthread_mutex_lock(&s->change_lock);
    if (network_wish_keep_ingress(w, &s->network.wish) < 0)
        say(f, 500, "internal_server_error", "out of memory");
    else
        rc = change(a, s, w, f);
    (void)pthread_mutex_unlock(&s->change_lock);
    return rc;
}

int network_give(struct app *a, struct sandbox *s, struct network_wish *w, struct failure *f)
{
    /* The usual one: nothing was wished for or is given, and nothing need be remembered. */
    if (!a->config.internet && w->internet == INTERNET_UNSET && !w->text)
        return 0;
    if (w->is_private)
        rand_hex(w->traffic_token, TRAFFIC_TOKEN_MAX / 2);
    (void)pthread_mutex_lock(&s->change_lock);
    int rc = change(a, s, w, f);
    (void)pthread_mutex_unlock(&s->change_lock);
    return rc;
}

int network_authority(struct app *a, struct sandbox *s, struct netd_msg *m, struct failure *f)
{
    const struct timespec pause = { .tv_nsec = AUTHORITY_PAUSE_NS };
    uint64_t until_ns = clock_mono_ns() + AUTHORITY_LIMIT_NS;
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    bool wants = s->network.wish.n_transforms > 0 && !s->network.trusts;
    (void)pthread_mutex_unlock(&s->lock);
    if (!a->netd || !wants)
        return 0;
    for (;;) {
        *m = (struct netd_msg){ .type = NETD_CA, .id = s->facts.id };
        rc = netd_call(a->netd, m, -1, NULL);
        if (rc != -EAGAIN || clock_mono_ns() > until_ns)
            break;
        (void)nanosleep(&pause, NULL);
    }
    if (rc == 0 && m->ca_n > 0 && m->ca_n <= sizeof m->ca)
        return 1;
    if (rc == -ENOENT) /* the rules have gone meanwhile */
        return 0;
    log_error("network_failed", "sandbox=%s err=\"no authority: %s\"", s->facts.id.text,
              strerrordesc_np(rc < 0 ? -rc : EPROTO));
    say_failed(f, rc == -EAGAIN ? -ETIMEDOUT : rc);
    return -1;
}

void network_authority_known(struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->network.trusts = true;
    (void)pthread_mutex_unlock(&s->lock);
}

void network_forget(struct app *a, struct sandbox *s)
{
    struct netd_msg m = { .type = NETD_DETACH, .id = s->facts.id };

    if (!a->netd || !s->network.is_attached)
        return;
    int rc = netd_call(a->netd, &m, -1, NULL);
    if (rc < 0) /* the next connection's NETD_SYNCED does it */
        log_warn("network_not_told", "sandbox=%s err=\"%s\"", s->facts.id.text,
                 strerrordesc_np(-rc));
}

/* The wish that was stored: what is told of it, with the values of its rules in their places. */
static int read_wish(const struct registry_row *row, struct network_wish *w, struct err *e)
{
    AUTO_JSON json_t *fields = *row->network ? json_parse(str_from(row->network), e) : NULL;
    AUTO_JSON json_t *rules = *row->rules ? json_parse(str_from(row->rules), e) : NULL;

    if ((*row->network && !fields) || (*row->rules && !rules))
        return -EINVAL;
    if (rules && json_object_set(fields, "rules", rules) < 0)
        return err_set(e, ENOMEM, "take rules");
    if (network_wish_parse(fields, NETWORK_CREATE, "network.", row->internet, w, e) < 0)
        return -e->code;
    return str_copy(str_from(row->traffic_token), w->traffic_token, sizeof w->traffic_token) <
                       0 ||
                   (w->is_private && !w->traffic_token[0])
               ? err_say(e, EINVAL, "the traffic token is damaged")
               : 0;
}

/* Nothing goes out, and nothing comes in: what was to be reached is not known. */
static int read_nothing(struct network_wish *w, struct err *e)
{
    network_wish_fini(w);
    if (network_wish_parse(NULL, NETWORK_CREATE, "", INTERNET_DENIED, w, e) < 0)
        return -e->code;
    w->is_private = true;
    rand_hex(w->traffic_token, TRAFFIC_TOKEN_MAX / 2);
    return 0;
}

void network_adopt(struct app *a, struct sandbox *s, const struct registry_row *row)
{
    AUTO_NETWORK_WISH struct network_wish w = { 0 };
    struct err e = { 0 };

    if (read_wish(row, &w, &e) < 0) {
        log_error("network_not_adopted", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        if (read_nothing(&w, &e) < 0)
            return;
    }
    s->network.is_attached = a->config.internet && network_wish_needs_network(&w);
    take_wish(s, &w);
}

/* --- telling clients --- */

void network_describe(struct sandbox *s, struct buf *out)
{
    static const char *const internet[] = {
        [INTERNET_UNSET] = "null", [INTERNET_ALLOWED] = "true", [INTERNET_DENIED] = "false"
    };

    (void)pthread_mutex_lock(&s->lock);
    buf_addf(out, "\"allowInternetAccess\":%s,", internet[s->network.wish.internet]);
    if (s->network.wish.text) {
        buf_add_cstr(out, "\"network\":");
        buf_add_cstr(out, s->network.wish.text);
        buf_add_char(out, ',');
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void network_describe_token(struct sandbox *s, struct buf *out)
{
    (void)pthread_mutex_lock(&s->lock);
    buf_add_cstr(out, "\"trafficAccessToken\":");
    if (s->network.wish.is_private)
        json_write_str(out, str_from(s->network.wish.traffic_token));
    else
        buf_add_cstr(out, "null");
    (void)pthread_mutex_unlock(&s->lock);
}

bool network_lets_in(struct sandbox *s, struct str token)
{
    (void)pthread_mutex_lock(&s->lock);
    bool in = !s->network.wish.is_private ||
              str_eq_secret(token, str_from(s->network.wish.traffic_token));
    (void)pthread_mutex_unlock(&s->lock);
    return in;
}

void network_mask_host(struct sandbox *s, uint32_t port, char out[NETWORK_MASK_N])
{
    const struct str variable = STR("${PORT}");
    AUTO_BUF struct buf b = BUF_INIT(NETWORK_MASK_N - 1);

    (void)pthread_mutex_lock(&s->lock);
    struct str mask = str_from(s->network.wish.mask_host);
    for (size_t i = 0; i < mask.n; i++) {
        if (str_starts(str_sub(mask, i, mask.n), variable)) {
            buf_add_u64(&b, port);
            i += variable.n - 1;
        } else {
            buf_add_char(&b, mask.p[i]);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    /* A port is shorter than its variable, so only memory can be wanting: then it is no name. */
    (void)str_copy(buf_ok(&b) ? buf_str(&b) : STR("invalid"), out, NETWORK_MASK_N);
}

const char *network_kind(const struct app *a, struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool attached = a->config.internet && s->network.is_attached;
    (void)pthread_mutex_unlock(&s->lock);
    return attached ? "own interface, filtered by netd" : "loopback only";
}

/* One label a sandbox that has a network now: at most NETD_TRAFFIC_MAX. */
static void traffic_metrics(struct app *a, struct buf *out)
{
    struct netd_msg m = { .type = NETD_TRAFFIC };
    AUTO_FREE struct netd_traffic *t = calloc(1, sizeof *t);
    const struct netd_more more = { .traffic = t };

    if (!t || netd_call(a->netd, &m, -1, &more) < 0)
        return;
    buf_add_cstr(out, "# HELP firebreak_egress_sandbox_bytes Bytes of each sandbox that has a "
                      "network now.\n# TYPE firebreak_egress_sandbox_bytes gauge\n");
    for (uint32_t i = 0; i < t->n; i++)
        if (sandbox_id_ok(&t->row[i].id))
            buf_addf(out,
                     "firebreak_egress_sandbox_bytes{sandbox=\"%s\",direction=\"up\"} %" PRIu64
                     "\nfirebreak_egress_sandbox_bytes{sandbox=\"%s\",direction=\"down\"} "
                     "%" PRIu64 "\n",
                     t->row[i].id.text, t->row[i].up_bytes, t->row[i].id.text,
                     t->row[i].down_bytes);
}

void network_metrics(struct app *a, struct buf *out)
{
    struct netd_msg m = { .type = NETD_STATS };
    bool up = a->netd && netd_call(a->netd, &m, -1, NULL) == 0;

    if (!a->netd)
        return;
    buf_addf(out,
             "# HELP firebreak_netd_connected Is there a connection to netd?\n# TYPE "
             "firebreak_netd_connected gauge\nfirebreak_netd_connected %d\n",
             up);
    if (!up)
        return;
    buf_add_cstr(out, "# HELP firebreak_egress_denied_total Packets, questions and connections "
                      "of sandboxes that were refused, by reason.\n"
                      "# TYPE firebreak_egress_denied_total counter\n");
    for (int why = 0; why < NETD_WHY_MAX; why++)
        buf_addf(out, "firebreak_egress_denied_total{why=\"%s\"} %" PRIu64 "\n",
                 netd_why_text((enum netd_why)why), m.counters.denied[why]);
    buf_addf(out,
             "# HELP firebreak_egress_bytes Bytes of the sandboxes that have a network now.\n"
             "# TYPE firebreak_egress_bytes gauge\n"
             "firebreak_egress_bytes{direction=\"up\"} %" PRIu64
             "\nfirebreak_egress_bytes{direction=\"down\"} %" PRIu64
             "\n# HELP firebreak_networks Sandboxes that have a network.\n"
             "# TYPE firebreak_networks gauge\nfirebreak_networks %u\n",
             m.counters.up_bytes, m.counters.down_bytes, m.n_attached);
    traffic_metrics(a, out);
}
