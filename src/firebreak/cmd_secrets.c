/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak secrets: values of variables, stored encrypted (lib/secrets). No value and no passphrase is ever an argument, a variable of the environment, or a
 * word of a message. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/rand.h"
#include "codec/json.h"
#include "firebreak/cli.h"
#include "firebreak/env_file.h"
#include "firebreak/place.h"
#include "firebreak/tell_record.h"
#include "secrets/packet.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define PASSPHRASE_CAP 1026u
#define TOKEN_BYTES    32u /* as openssl rand -hex 32 */

enum { OPT_PASSPHRASE = 256, OPT_KDF, OPT_JSON, OPT_OUT, OPT_PRODUCTION };

struct secrets {
    struct place place;
    const char *verb, *operand;
    const char *passphrase_file, *out;
    enum envelope_kdf kdf;
    bool json, production;
    char passphrase[PASSPHRASE_CAP];
    size_t passphrase_n;
    struct envelope_key key;
};

static struct str passphrase(const struct secrets *s)
{
    return (struct str){ s->passphrase, s->passphrase_n };
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_fini(b);
}
#define AUTO_WIPE_BUF __attribute__((cleanup(wipe)))

/* --- the passphrase --- */

static int read_passphrase_file(struct secrets *s, const char *path, bool must_be_private,
                                struct err *e)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "read the passphrase from '%s'", path);
    if (must_be_private && (!S_ISREG(st.st_mode) || (st.st_mode & 077)))
        return err_say(e, EPERM, "'%s' must be a file that only its owner reads (chmod 400)",
                       path);
    ssize_t n = read(fd, s->passphrase, sizeof s->passphrase);
    if (n < 0)
        return err_set(e, errno, "read the passphrase from '%s'", path);
    s->passphrase_n = (size_t)n;
    if (n > 0 && s->passphrase[n - 1] == '\n')
        s->passphrase_n--;
    return 0;
}

static int ask_passphrase(struct secrets *s, struct err *e)
{
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios was, quiet;

    if (tty < 0 || tcgetattr(tty, &was) < 0)
        return err_say(
            e, ENOTTY,
            "there is no passphrase: give --passphrase-file, CHIT_PASSPHRASE_FILE or the "
            "systemd credential chit-passphrase");
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    (void)!write(tty, "passphrase: ", 12);
    ssize_t n = read(tty, s->passphrase, sizeof s->passphrase);
    (void)tcsetattr(tty, TCSAFLUSH, &was);
    (void)!write(tty, "\n", 1);
    if (n <= 0)
        return err_say(e, EIO, "no passphrase was given");
    s->passphrase_n = (size_t)n - (s->passphrase[n - 1] == '\n');
    return 0;
}

static int get_passphrase(struct secrets *s, struct err *e)
{
    const char *variable = getenv("CHIT_PASSPHRASE_FILE"),
               *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[512];
    int rc;

    (void)snprintf(path, sizeof path, "%s/chit-passphrase", dir ? dir : "");
    if (s->passphrase_file || (variable && *variable))
        rc = read_passphrase_file(s, s->passphrase_file ? s->passphrase_file : variable, true,
                                  e);
    else if (dir && access(path, R_OK) == 0) /* systemd sees to who may read it */
        rc = read_passphrase_file(s, path, false, e);
    else
        rc = ask_passphrase(s, e);
    return rc < 0 ? rc : envelope_check_passphrase(passphrase(s), e);
}

static void new_key(struct secrets *s)
{
    uint8_t salt[ENVELOPE_SALT];

    rand_bytes(salt, sizeof salt);
    envelope_key_derive(&s->key, s->kdf, passphrase(s), salt);
}

static void seal_value(struct secrets *s, struct str name, struct str value, struct buf *out)
{
    uint8_t iv[SEAL_IV];

    rand_bytes(iv, sizeof iv);
    envelope_seal(&s->key, iv, name, value, out);
}

/* --- files --- */

static int read_fd(int fd, struct buf *out, struct err *e)
{
    for (;;) {
        char *room = buf_reserve(out, 4096);
        ssize_t n = room ? read(fd, room, 4096) : -1;
        if (!room)
            return err_say(e, EFBIG, "that is more than %zu bytes", out->max);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read");
        if (n == 0)
            return 0;
        out->n += (size_t)n;
    }
}

static int read_path(const char *path, struct buf *out, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set(e, errno, "open '%s'", path);
    return read_fd(fd, out, e) < 0 ? err_wrap(e, "'%s'", path) : 0;
}

/* In place at once or not at all, for its owner only. */
static int write_path(const char *path, struct str text, struct err *e)
{
    char temp[512];
    struct stat st;

    if (snprintf(temp, sizeof temp, "%s.new", path) >= (int)sizeof temp)
        return err_say(e, ENAMETOOLONG, "'%s' is too long", path);
    bool is_there = stat(path, &st) == 0;
    (void)unlink(temp); /* left over from a crash */
    AUTO_CLOSE int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "make '%s'", temp);
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return err_set(e, errno, "write '%s'", temp);
        text = str_sub(text, n > 0 ? (size_t)n : 0, text.n);
    }
    if (is_there && geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
        return err_set(e, errno, "give '%s' to its owner", temp);
    if (fsync(fd) < 0 || rename(temp, path) < 0)
        return err_set(e, errno, "put '%s' in place", path);
    return 0;
}

static int wrong_line(size_t n, struct err *e)
{
    return err_say(e, EINVAL, "line %zu is neither NAME=VALUE nor a comment", n);
}

/* --- verbs --- */

static int encrypt(struct secrets *s, struct err *e)
{
    AUTO_WIPE_BUF struct buf value = BUF_INIT(ENVELOPE_VALUE_MAX);
    AUTO_BUF struct buf out = BUF_INIT(FILE_BYTES_MAX);

    if (get_passphrase(s, e) < 0 || read_fd(STDIN_FILENO, &value, e) < 0)
        return -e->code;
    if (value.n > 0 && value.p[value.n - 1] == '\n')
        value.n--;
    if (value.n == 0)
        return err_say(e, EINVAL, "there is no value on standard input");
    new_key(s);
    seal_value(s, str_from(s->operand), buf_str(&value), &out);
    (void)printf("%s=%s\n", s->operand, buf_cstr(&out));
    return 0;
}

static int decrypt(struct secrets *s, struct err *e)
{
    AUTO_WIPE_BUF struct buf value = BUF_INIT(ENVELOPE_VALUE_MAX);
    AUTO_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX);

    if (get_passphrase(s, e) < 0 || read_fd(STDIN_FILENO, &text, e) < 0)
        return -e->code;
    struct str t = str_trim(buf_str(&text)), name, rest;
    if (t.n > 0 && t.p[t.n - 1] == '\n')
        t.n--;
    if (str_cut(t, '=', &name, &rest) && str_eq(name, str_from(s->operand)))
        t = rest;
    int rc = envelope_open(&s->key, passphrase(s), str_from(s->operand), t, &value, e);
    if (rc == 0)
        (void)printf("%.*s\n", (int)value.n, value.p);
    return rc;
}

struct finding {
    const char *problem; /* or NULL */
    bool is_encrypted;
    struct envelope envelope;
};

static struct finding look(const struct env_row *row)
{
    struct finding f = { 0 };

    if (envelope_is(row->value)) {
        f.is_encrypted = true;
        if (envelope_parse(row->value, &f.envelope) < 0)
            f.problem = "is no envelope that can be read";
    } else if (env_sensitivity(row->name) == SENSITIVITY_HIGH && row->value.n > 0) {
        f.problem = "must be encrypted, and is plain text";
    } else if (env_sensitivity(row->name) == SENSITIVITY_LOW && row->value.n > 0 &&
               ((!str_starts(row->value, STR("http://")) &&
                 !str_starts(row->value, STR("https://"))) ||
                memchr(row->value.p, '@', row->value.n))) {
        f.problem = "must be an http or https URL without user or password";
    }
    return f;
}

static void print_row(const struct secrets *s, const struct env_row *row,
                      const struct finding *f, json_t *rows)
{
    static const char *const class[] = { "other", "low", "high" };
    const char *state = f->is_encrypted ? "encrypted" : row->value.n > 0 ? "plain" : "empty";
    char name[129];

    (void)snprintf(name, sizeof name, "%.*s", (int)row->name.n, row->name.p);
    if (rows)
        (void)json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s,s:s,s:s?}", "name", name, "sensitivity",
                            class[env_sensitivity(row->name)], "state", state, "kid",
                            f->is_encrypted ? f->envelope.kid : "", "problem", f->problem));
    else if (strcmp(s->verb, "list") == 0)
        (void)printf("%-28s  %-5s  %-9s  %s\n", name, class[env_sensitivity(row->name)], state,
                     f -> is_encrypted ? f -> envelope.kid : "-");
    else if (f->problem)
        (void)printf("%s %s\n", name, f->problem);
}

/* lint and list. 1: there is a problem. */
static int lint(struct secrets *s, struct err *e)
{
    AUTO_WIPE_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX);
    AUTO_JSON json_t *rows = s->json ? json_array() : NULL;
    struct env_row row;
    struct stat st;
    bool wrong, problem = false;
    size_t line = 0;

    if (read_path(s->operand, &text, e) < 0)
        return -e->code;
    for (struct str left = buf_str(&text); env_next(&left, &row, &wrong);) {
        line++;
        if (wrong)
            return wrong_line(line, e);
        if (row.name.n == 0)
            continue;
        struct finding f = look(&row);
        print_row(s, &row, &f, rows);
        problem = problem || f.problem;
    }
    if (stat(s->operand, &st) == 0 && (st.st_mode & 077) && !rows) {
        (void)printf("%s can be read by others (chmod 600)\n", s->operand);
        problem = true;
    }
    if (rows) {
        (void)json_dumpf(rows, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    }
    return problem && strcmp(s->verb, "lint") == 0;
}

static int note_secret(void *arg, const char *name, struct str value, enum packet_how how)
{
    void **both = arg;
    struct secrets *s = both[0];
    struct buf *out = both[1];

    (void)how;
    buf_addf(out, "%s=", name);
    seal_value(s, str_from(name), value, out);
    buf_add_char(out, '\n');
    return buf_ok(out) ? 0 : -out->failed;
}

static int import_packet(struct secrets *s, const json_t *doc, struct buf *out, struct err *e)
{
    void *both[] = { s, out };
    struct packet_reader r = { .passphrase = passphrase(s),
                               .plain_is_fine = !s->production,
                               .fn = note_secret,
                               .arg = both };
    int n = packet_read(&r, doc, e);

    envelope_key_fini(&r.key);
    if (n >= 0 && r.n_plain > 0)
        (void)fprintf(stderr,
                      "firebreak: %u of %d secrets of the packet were plain text: change them "
                      "where they are used\n",
                      r.n_plain, n);
    return n < 0 ? n : 0;
}

/* Every variable that must be encrypted is; the rest stays as it is. */
static int import_rows(struct secrets *s, struct str left, struct buf *out, struct err *e)
{
    struct env_row row;
    bool wrong;
    size_t line = 0;

    while (env_next(&left, &row, &wrong)) {
        line++;
        if (wrong)
            return wrong_line(line, e);
        if (row.name.n > 0 && row.value.n > 0 &&
            env_sensitivity(row.name) == SENSITIVITY_HIGH && !envelope_is(row.value)) {
            buf_add_str(out, row.name);
            buf_add_char(out, '=');
            seal_value(s, row.name, row.value, out);
        } else {
            buf_add_str(out, row.line);
        }
        buf_add_char(out, '\n');
    }
    return buf_ok(out) ? 0 : err_set(e, out->failed, "write the new file");
}

static int import_env(struct secrets *s, struct err *e)
{
    AUTO_WIPE_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX);
    AUTO_WIPE_BUF struct buf out = BUF_INIT(2 * FILE_BYTES_MAX);
    struct err no_json;

    if (!s->out)
        return err_say(e, EINVAL, "say where to: --out FILE");
    if (get_passphrase(s, e) < 0 || read_path(s->operand, &text, e) < 0)
        return -e->code;
    new_key(s);
    AUTO_JSON json_t *doc =
        text.n > 0 && text.p[0] == '{' ? json_parse(buf_str(&text), &no_json) : NULL;
    int rc = doc ? import_packet(s, doc, &out, e) : import_rows(s, buf_str(&text), &out, e);
    return rc < 0 ? rc : write_path(s->out, buf_str(&out), e);
}

/* --- rotation --- */

static unsigned rotate_days(const char *name)
{
    return strcmp(name, "E2B_API_KEY") == 0 ? 90 : 30; /* the guide's table */
}

/* OUT.rotation.json: when each was made, and how long the one before it holds. */
static int note_rotation(struct secrets *s, struct err *e)
{
    char path[512], now[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];
    AUTO_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX), out = BUF_INIT(FILE_BYTES_MAX);
    struct err ignored;

    (void)snprintf(path, sizeof path, "%s.rotation.json", s->out);
    AUTO_JSON json_t *all =
        read_path(path, &text, &ignored) == 0 ? json_parse(buf_str(&text), e) : json_object();
    if (!json_is_object(all))
        return err_say(e, EINVAL, "'%s' is not what rotate has written", path);
    clock_format_rfc3339(clock_real_ns(), 0, now);
    clock_format_rfc3339(clock_real_ns() + 900 * NS_PER_S, 0, until);
    (void)json_object_set_new(all, s->operand,
                              json_pack("{s:s,s:i,s:s,s:s}", "created_at", now,
                                        "rotate_after_days", (int)rotate_days(s->operand),
                                        "kid", s->key.kid, "previous_valid_until", until));
    if (!json_write(&out, all))
        return err_set(e, ENOMEM, "write '%s'", path);
    buf_add_char(&out, '\n');
    return write_path(path, buf_str(&out), e);
}

static int rotate(struct secrets *s, struct err *e)
{
    AUTO_WIPE_BUF struct buf text = BUF_INIT(FILE_BYTES_MAX);
    AUTO_WIPE_BUF struct buf out = BUF_INIT(2 * FILE_BYTES_MAX);
    char token[2 * TOKEN_BYTES + 1], reason[160];
    struct env_row row;
    bool wrong, found = false;

    if (!s->out)
        return err_say(e, EINVAL, "say in which file: --out FILE");
    if (get_passphrase(s, e) < 0 || read_path(s->out, &text, e) < 0)
        return -e->code;
    new_key(s);
    rand_hex(token, TOKEN_BYTES);
    for (struct str left = buf_str(&text); env_next(&left, &row, &wrong);) {
        bool it = str_eq(row.name, str_from(s->operand));
        found = found || it;
        if (it) {
            buf_addf(&out, "%s=", s->operand);
            seal_value(s, row.name, str_from(token), &out);
        } else {
            buf_add_str(&out, row.line);
        }
        buf_add_char(&out, '\n');
    }
    explicit_bzero(token, sizeof token);
    if (!found)
        return err_say(e, ENOENT, "'%s' has no variable %s", s->out, s->operand);
    if (write_path(s->out, buf_str(&out), e) < 0 || note_rotation(s, e) < 0)
        return -e->code;
    (void)snprintf(reason, sizeof reason, "rotated %s", s->operand);
    if (tell_record(&s->place, AUDIT_SECRET_CHANGED, reason) < 0)
        (void)fputs("firebreak: no recorder is running: this rotation is in no record\n",
                    stderr);
    (void)printf(
        "%s is a new one; the one before it may be used for 15 minutes by services that "
        "know of it\n",
        s->operand);
    return 0;
}

/* --- command line --- */

static const struct verb {
    const char *name;
    int (*run)(struct secrets *s, struct err *e);
    bool of_name; /* its operand is a variable, else a file */
} verbs[] = {
    { "encrypt", encrypt, true }, { "decrypt", decrypt, true },
    { "lint", lint, false },      { "list", lint, false },
    { "rotate", rotate, true },   { "import-env", import_env, false },
};

static const struct option options[] = {
    { "passphrase-file", required_argument, NULL, OPT_PASSPHRASE },
    { "kdf", required_argument, NULL, OPT_KDF },
    { "out", required_argument, NULL, OPT_OUT },
    { "production", no_argument, NULL, OPT_PRODUCTION },
    { "json", no_argument, NULL, OPT_JSON },
    PLACE_OPTIONS,
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static int take_option(struct secrets *s, int o, char *value)
{
    if (o == OPT_PASSPHRASE)
        s->passphrase_file = value;
    else if (o == OPT_OUT)
        s->out = value;
    else if (o == OPT_JSON)
        s->json = true;
    else if (o == OPT_PRODUCTION)
        s->production = true;
    else if (o == OPT_KDF && strcmp(value, "pbkdf2") == 0)
        s->kdf = ENVELOPE_PBKDF2;
    else if (o == OPT_KDF && strcmp(value, "argon2id") == 0)
        s->kdf = ENVELOPE_ARGON2ID;
    else if (o == OPT_KDF)
        return cli_usage_error(&cmd_secrets, "--kdf takes pbkdf2 or argon2id, not '%s'", value);
    else
        (void)place_option(&s->place, o, value);
    return 0;
}

static int run_verb(struct secrets *s, const struct verb *v)
{
    const char *mode = getenv("NODE_ENV");
    struct err e = { 0 };

    s->production = s->production || (mode && strcmp(mode, "production") == 0);
    int rc = place_resolve(&s->place, &e);
    if (rc == 0)
        rc = v->run(s, &e);
    explicit_bzero(s->passphrase, sizeof s->passphrase);
    envelope_key_fini(&s->key);
    if (rc < 0)
        return cli_fail(&e, NULL);
    return cli_finish_stdout(rc == 0 ? CLI_OK : CLI_FAILED);
}

static int secrets_run(int argc, char **argv)
{
    struct secrets s = { .kdf = ENVELOPE_PBKDF2 };
    const struct rlimit no_core = { 1, 1 };
    const struct verb *v = NULL;
    int o;

    /* Nothing of it in a core, and nobody of this user looks at it. */
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    while ((o = cli_next_option(&cmd_secrets, argc, argv, "", options)) >= 0) {
        int bad = take_option(&s, o, optarg);
        if (bad != 0)
            return bad;
    }
    if (cli_options_ended(o) >= 0)
        return cli_options_ended(o);
    for (size_t i = 0; optind < argc && i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, argv[optind]) == 0)
            v = &verbs[i];
    if (!v)
        return cli_usage_error(&cmd_secrets,
                               "say what: encrypt, decrypt, lint, list, rotate or import-env");
    s.verb = v->name;
    s.operand = argc - optind == 2 ? argv[optind + 1] : NULL;
    if (!s.operand || (v->of_name && !envelope_name_ok(str_from(s.operand))))
        return cli_usage_error(&cmd_secrets, "%s takes one %s", v->name,
                               v->of_name ? "name of a variable" : "file");
    return run_verb(&s, v);
}

const struct cli_command cmd_secrets = {
    .name = "secrets",
    .summary = "Encrypt, check and rotate secrets in files of variables",
    .usage = "encrypt|decrypt|rotate NAME | lint|list|import-env FILE [OPTIONS]",
    .help =
        "  encrypt NAME      standard input to NAME=chit:encrypt:...\n"
        "  decrypt NAME      the other way round\n"
        "  lint FILE         are the variables that must be encrypted? exits with 1 if not\n"
        "  list FILE         its variables: sensitivity, state, key id; no value\n"
        "  import-env FILE   a file with all of them encrypted, to --out; FILE may be a CGP "
        "packet\n"
        "  rotate NAME       a new random token for NAME, in the file --out\n"
        "  --passphrase-file F  else $CHIT_PASSPHRASE_FILE, the systemd credential\n"
        "                    chit-passphrase, or a prompt\n"
        "  --kdf KIND        pbkdf2 (default) or argon2id\n"
        "  --production      refuse packets that are plain text (also NODE_ENV=production)\n"
        "  --json            machine-readable\n" PLACE_HELP,
    .run = secrets_run,
};
