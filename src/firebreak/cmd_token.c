/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak token: bearer tokens (JWT) of the instance, and the keys that sign them. Tokens are signed here, with a key that is read from a
 * file or from standard input; of an Ed25519 pair the server has the public half only. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/jwt.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/rand.h"
#include "codec/json.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"
#include "firebreak/credentials.h"

#define KEY_FILE_MAX 4096u

struct wish {
    struct place place;
    const char *user, *key_file, *out, *iss, *aud, *kid, *alg, *jti;
    uint64_t ttl_s;
    struct caps caps;
    bool json, offline;
};

/* --- the signing key --- */

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->n);
    buf_fini(b);
}

/* A JWK, or anything else as the bytes of an HS256 secret, as the seed's services share it. */
static int read_key(const char *path, struct jwt_key *k, struct err *e)
{
    struct buf text = BUF_INIT(KEY_FILE_MAX);
    int rc = credentials_read(path, KEY_FILE_MAX, &text, e);

    if (rc == 0)
        rc = text.p[0] == '{' ? jwt_key_read(buf_str(&text), k, e)
                              : jwt_key_of_secret(buf_str(&text), k, e);
    wipe(&text);
    return rc < 0 ? err_wrap(e, "the key in '%s'", path) : 0;
}

static void default_file(const struct place *p, char out[PLACE_PATH_MAX + 32])
{
    (void)snprintf(out, PLACE_PATH_MAX + 32, "%s/token.jwk", p->state);
}

/* A file that was not there, readable by nobody else. */
static int write_key(const char *path, const struct jwt_key *k, struct err *e)
{
    struct buf text = BUF_INIT(KEY_FILE_MAX);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set(e, errno, "make '%s'", path);
    jwt_key_write(k, true, &text);
    buf_add_char(&text, '\n');
    bool ok = buf_ok(&text) && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    int saved = errno;
    wipe(&text);
    return ok ? 0 : err_set(e, saved, "write '%s'", path);
}

/* --- trust: the server takes tokens of this key from now on --- */

static int send_key(const struct api *api, struct jwt_key *k, struct err *e)
{
    AUTO_BUF struct buf text = BUF_INIT(KEY_FILE_MAX);
    AUTO_API_ANSWER struct api_answer r = { 0 };

    jwt_key_write(k, false, &text);
    AUTO_JSON json_t *body = json_parse(buf_str(&text), e);
    if (text.p)
        explicit_bzero(text.p, text.n);
    if (!body)
        return -e->code;
    int rc = api_expect(api, "POST", "/admin/token-keys", body, &r, e);
    const char *kid = json_string_value(json_object_get(r.json, "kid"));
    if (rc == 0 && (!kid || str_copy(str_from(kid), k->kid, sizeof k->kid) < 0))
        rc = err_say(e, EPROTO, "the answer names no key");
    return rc;
}

static int take_text(const char *option, const char *value, char *out, size_t cap,
                     struct err *e)
{
    return value && str_copy(str_from(value), out, cap) < 0
               ? err_say(e, EINVAL, "%s is too long", option)
               : 0;
}

static int make_key(const struct wish *w, struct jwt_key *k, struct err *e)
{
    int rc = 0;

    if (w->key_file)
        rc = read_key(w->key_file, k, e);
    else if (!w->alg || strcmp(w->alg, "EdDSA") == 0 || strcmp(w->alg, "HS256") == 0)
        jwt_key_make(w->alg && w->alg[0] == 'H' ? JWT_HS256 : JWT_EDDSA, k);
    else
        rc = err_say(e, EINVAL, "--alg takes EdDSA or HS256");
    if (rc == 0)
        rc = take_text("--kid", w->kid, k->kid, sizeof k->kid, e);
    if (rc == 0)
        rc = take_text("--iss", w->iss, k->iss, sizeof k->iss, e);
    return rc == 0 ? take_text("--aud", w->aud, k->aud, sizeof k->aud, e) : rc;
}

/* A new key is in its file before the server knows of it: who has no place for it has not made one. */
static int trust(struct wish *w, struct jwt_key *k, struct err *e)
{
    char path[PLACE_PATH_MAX + 32];
    struct api api;
    int rc = make_key(w, k, e);

    if (rc == 0)
        rc = credentials_open(&api, &w->place, e);
    if (rc < 0)
        return rc;
    default_file(&w->place, path);
    const char *out = w->out ? w->out : path;
    if (!w->key_file) {
        if (!k->kid[0])
            rand_hex(k->kid, 8);
        rc = write_key(out, k, e);
    }
    if (rc == 0) {
        rc = send_key(&api, k, e);
        if (rc < 0 && !w->key_file)
            (void)unlink(out);
    }
    api_close(&api);
    if (rc < 0)
        return rc;
    if (w->json)
        (void)printf("{\"kid\": \"%s\", \"alg\": \"%s\"}\n", k->kid, jwt_alg_name(k->alg));
    else
        (void)printf("%s %s\n", k->kid, jwt_alg_name(k->alg));
    if (!w->key_file)
        (void)fprintf(stderr, "the signing key is in %s\n", out);
    return 0;
}

/* --- issue --- */

static int register_token(const struct wish *w, const struct buf *token, struct err *e)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    AUTO_JSON json_t *body = json_pack("{s:s}", "token", buf_cstr(token));
    struct place place = w->place;
    struct api api;
    int rc = credentials_open(&api, &place, e);

    if (rc == 0)
        rc = body ? api_expect(&api, "POST", "/admin/tokens", body, &r, e)
                  : err_set(e, ENOMEM, "make the request");
    api_close(&api);
    return rc;
}

static int issue(struct wish *w, struct jwt_key *k, struct err *e)
{
    AUTO_BUF struct buf token = BUF_INIT(JWT_MAX);
    char path[PLACE_PATH_MAX + 32];
    struct jwt t = { .caps = w->caps, .iat_s = (int64_t)(clock_real_ns() / NS_PER_S) };

    if (place_resolve(&w->place, e) < 0)
        return -e->code;
    default_file(&w->place, path);
    int rc = read_key(w->key_file ? w->key_file : path, k, e);
    if (rc < 0)
        return rc;
    if (!k->can_sign)
        return err_say(e, EINVAL, "that key is a public one: it signs nothing");
    t.exp_s = t.iat_s + (int64_t)w->ttl_s;
    (void)str_copy(str_from(w->user), t.user_id, sizeof t.user_id); /* was checked */
    /* Of a secret that is shared with the seed's services: as they make it, without more. */
    if (k->kid[0])
        rand_hex(t.jti, 8);
    jwt_sign(k, &t, &token);
    if (!buf_ok(&token))
        return err_set(e, token.failed, "make a token");
    if (!w->offline && (rc = register_token(w, &token, e)) < 0)
        return rc;
    if (w->json)
        (void)printf("{\"token\": \"%s\", \"jti\": %s%s%s, \"expires\": %lld}\n",
                     buf_cstr(&token), t.jti[0] ? "\"" : "", t.jti[0] ? t.jti : "null",
                     t.jti[0] ? "\"" : "", (long long)t.exp_s);
    else
        (void)printf("%s\n", buf_cstr(&token));
    explicit_bzero(token.p, token.n);
    return 0;
}

/* --- verify, revoke --- */

static int print_verdict(const json_t *j, bool json)
{
    bool valid = json_is_true(json_object_get(j, "valid"));

    if (json) {
        credentials_print_json(j);
    } else {
        (void)printf("%s: ", valid ? "valid" : "refused");
        cli_print_safe(stdout, credentials_text(j, "reason"));
        (void)putchar('\n');
        if (valid) {
            (void)printf("user ");
            cli_print_safe(stdout, credentials_text(j, "userID"));
            (void)printf(", until ");
            cli_print_safe(stdout, credentials_text(j, "expiresAt"));
            (void)printf(", may ");
            credentials_print_caps(j);
        }
    }
    return cli_finish_stdout(valid ? CLI_OK : CLI_FAILED);
}

/* A call whose body has one field; the token itself is read from a file or standard input. */
static int post(struct wish *w, const char *target, const char *field, const char *value,
                struct api_answer *r, struct err *e)
{
    struct buf text = BUF_INIT(JWT_MAX);
    struct api api;
    int rc = 0;

    if (!value)
        rc = credentials_read(w->key_file ? w->key_file : "-", JWT_MAX, &text, e);
    AUTO_JSON json_t *body =
        rc == 0 ? json_pack("{s:s}", field, value ? value : buf_cstr(&text)) : NULL;
    wipe(&text);
    if (rc < 0)
        return rc;
    if (!body)
        return err_say(e, EINVAL, "the token is no text");
    rc = credentials_open(&api, &w->place, e);
    if (rc == 0)
        rc = api_expect(&api, "POST", target, body, r, e);
    api_close(&api);
    return rc;
}

/* --- options --- */

enum {
    OPT_USER = 0x200,
    OPT_CAP,
    OPT_TTL,
    OPT_KEY,
    OPT_OUT,
    OPT_ISS,
    OPT_AUD,
    OPT_KID,
    OPT_ALG,
    OPT_JTI,
    OPT_OFFLINE
};

static int take_option(struct wish *w, int o, char *value, struct err *e)
{
    switch (o) {
    case OPT_USER:
        w->user = value;
        return auth_name_ok(str_from(value), OWNER_MAX)
                   ? 0
                   : err_say(e, EINVAL, "--user takes letters, digits and ._:-");
    case OPT_CAP:
        return caps_add(&w->caps, str_from(value)) == 1
                   ? 0
                   : err_say(e, EINVAL, "'%.64s' is no capability, or one too many", value);
    case OPT_TTL:
        return credentials_parse_span(value, &w->ttl_s) == 0 && w->ttl_s <= JWT_LIFE_S
                   ? 0
                   : err_say(e, EINVAL,
                             "--ttl takes at most an hour: seconds, or a number with m");
    case OPT_KEY:
        w->key_file = value;
        return 0;
    case OPT_OUT:
        w->out = value;
        return 0;
    case OPT_ISS:
        w->iss = value;
        return 0;
    case OPT_AUD:
        w->aud = value;
        return 0;
    case OPT_KID:
        w->kid = value;
        return 0;
    case OPT_ALG:
        w->alg = value;
        return 0;
    case OPT_JTI:
        w->jti = value;
        return 0;
    case OPT_OFFLINE:
        w->offline = true;
        return 0;
    case 'j':
        w->json = true;
        return 0;
    default:
        (void)place_option(&w->place, o, value);
        return 0;
    }
}

#define COMMON                                                                                 \
    { "json", no_argument, NULL, 'j' }, PLACE_OPTIONS, { "help", no_argument, NULL, 'h' },     \
    {                                                                                          \
        0                                                                                      \
    }
static const struct option trust_options[] = { { "from", required_argument, NULL, OPT_KEY },
                                               { "out", required_argument, NULL, OPT_OUT },
                                               { "alg", required_argument, NULL, OPT_ALG },
                                               { "kid", required_argument, NULL, OPT_KID },
                                               { "iss", required_argument, NULL, OPT_ISS },
                                               { "aud", required_argument, NULL, OPT_AUD },
                                               COMMON };
static const struct option issue_options[] = {
    { "user", required_argument, NULL, OPT_USER }, { "cap", required_argument, NULL, OPT_CAP },
    { "ttl", required_argument, NULL, OPT_TTL },   { "key", required_argument, NULL, OPT_KEY },
    { "offline", no_argument, NULL, OPT_OFFLINE }, COMMON
};
static const struct option revoke_options[] = { { "user", required_argument, NULL, OPT_USER },
                                                { "jti", required_argument, NULL, OPT_JTI },
                                                { "token", required_argument, NULL, OPT_KEY },
                                                COMMON };
static const struct option verify_options[] = { COMMON };

/* >= 0: the exit status. */
static int take_options(struct wish *w, int argc, char **argv, const struct option *options,
                        int operands)
{
    struct err e = { 0 };
    int o;

    while ((o = cli_next_option(&cmd_token, argc, argv, "", options)) >= 0)
        if (take_option(w, o, optarg, &e) < 0)
            return cli_usage_error(&cmd_token, "%s", e.text);
    if (cli_options_ended(o) >= 0)
        return cli_options_ended(o);
    if (argc - optind > operands)
        return cli_usage_error(&cmd_token, "unexpected argument '%s'", argv[optind]);
    return -1;
}

static int trust_run(int argc, char **argv)
{
    struct wish w = { 0 };
    struct jwt_key k = { 0 };
    struct err e = { 0 };
    int status = take_options(&w, argc, argv, trust_options, 0);

    if (status >= 0)
        return status;
    if (w.key_file && (w.out || w.alg))
        return cli_usage_error(&cmd_token, "--out and --alg are for a key that is made");
    int rc = trust(&w, &k, &e);
    explicit_bzero(&k, sizeof k);
    return rc < 0
               ? cli_fail(&e, e.code == EEXIST ? "give --out another file, or remove that one"
                                               : api_hint(&e))
               : cli_finish_stdout(CLI_OK);
}

static int issue_run(int argc, char **argv)
{
    struct wish w = { .ttl_s = JWT_LIFE_S };
    struct jwt_key k = { 0 };
    struct err e = { 0 };
    int status = take_options(&w, argc, argv, issue_options, 0);

    if (status >= 0)
        return status;
    if (!w.user)
        return cli_usage_error(&cmd_token, "--user is missing");
    if (w.caps.n_languages == 0 && w.caps.set == 0) { /* the seed's */
        (void)caps_add(&w.caps, STR("execute:python"));
        (void)caps_add(&w.caps, STR("execute:javascript"));
    }
    int rc = issue(&w, &k, &e);
    explicit_bzero(&k, sizeof k);
    if (rc == -ENOENT && !w.key_file)
        return cli_fail(&e, "'firebreak token trust' makes a signing key");
    return rc < 0 ? cli_fail(&e, api_hint(&e)) : cli_finish_stdout(CLI_OK);
}

static int verify_run(int argc, char **argv)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    struct wish w = { 0 };
    struct err e = { 0 };
    int status = take_options(&w, argc, argv, verify_options, 1);

    if (status >= 0)
        return status;
    w.key_file = optind < argc ? argv[optind] : "-";
    if (post(&w, "/admin/tokens/verify", "token", NULL, &r, &e) < 0)
        return cli_fail(&e, api_hint(&e));
    return print_verdict(r.json, w.json);
}

static int revoke_run(int argc, char **argv)
{
    AUTO_API_ANSWER struct api_answer r = { 0 };
    struct wish w = { 0 };
    struct err e = { 0 };
    int status = take_options(&w, argc, argv, revoke_options, 1);

    if (status >= 0)
        return status;
    const char *id = optind < argc ? argv[optind] : NULL;
    if ((id != NULL) + (w.user != NULL) + (w.jti != NULL) + (w.key_file != NULL) != 1)
        return cli_usage_error(&cmd_token,
                               "say which: ID, --jti JTI, --user USER or --token FILE");
    const char *field = id ? "id" : w.jti ? "jti" : w.user ? "user_id" : "token";
    if (post(&w, "/admin/tokens/revoke", field, id ? id : w.jti ? w.jti : w.user, &r, &e) < 0)
        return cli_fail(&e, api_hint(&e));
    (void)fputs(w.json ? "{\"revoked\": true}\n" : "revoked\n", stdout);
    return cli_finish_stdout(CLI_OK);
}

static void print_token(const json_t *row)
{
    credentials_cell(credentials_text(row, "id"), 64);
    credentials_cell(credentials_text(row, "userID"), 16);
    credentials_cell(credentials_text(row, "kid"), 16);
    credentials_cell(credentials_text(row, "expiresAt"), 20);
    credentials_print_caps(row);
}

static void print_key(const json_t *row)
{
    credentials_cell(credentials_text(row, "kid"), 18);
    credentials_cell(credentials_text(row, "alg"), 6);
    credentials_cell(credentials_text(row, "createdAt"), 20);
    credentials_cell(credentials_text(row, "iss"), 20);
    credentials_cell(credentials_text(row, "aud"), 10);
    (void)putchar('\n');
}

static int list_run(int argc, char **argv)
{
    return credentials_list(&cmd_token, argc, argv, "/admin/tokens",
                            "ID                                                                "
                            "USER              KID               EXPIRES               MAY\n",
                            print_token, "no token");
}

static int keys_run(int argc, char **argv)
{
    return credentials_list(
        &cmd_token, argc, argv, "/admin/token-keys",
        "KID                 ALG     CREATED               ISS                 "
        "  AUD\n",
        print_key, "no key of tokens");
}

static int distrust_run(int argc, char **argv)
{
    return credentials_delete(&cmd_token, argc, argv, "/admin/token-keys/",
                              "a kid, as 'token keys' has it", "distrusted");
}

static int token_run(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } command[] = { { "issue", issue_run },      { "list", list_run },
                    { "revoke", revoke_run },    { "verify", verify_run },
                    { "trust", trust_run },      { "keys", keys_run },
                    { "distrust", distrust_run } };

    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(command); i++)
        if (strcmp(argv[1], command[i].name) == 0)
            return command[i].run(argc - 1, argv + 1);
    return credentials_no_command(&cmd_token, argc, argv,
                                  "issue, list, revoke, verify, trust, keys or distrust");
}

const struct cli_command cmd_token = {
    .name = "token",
    .summary = "Issue, list, verify and revoke bearer tokens (JWT), and manage their keys",
    .usage =
        "issue --user USER [--cap C]... [--ttl SPAN] [--key FILE|-] [--offline] | list | "
        "verify [FILE|-] | revoke ID|--jti JTI|--user USER|--token FILE|- | trust [--from "
        "FILE|-] [--alg EdDSA|HS256] [--kid KID] [--iss ISS] [--aud AUD] [--out FILE] | keys | "
        "distrust KID",
    .help =
        "  trust             makes a signing key, writes it to STATE/token.jwk and has the "
        "server\n"
        "                    take its tokens\n"
        "    --from FILE     takes one instead: a JWK, or an HS256 secret as it is; - reads\n"
        "                    standard input\n"
        "    --alg ALG       EdDSA (the default: the server can check, and not sign) or HS256\n"
        "    --kid, --iss, --aud   its id; what iss and aud of its tokens must be\n"
        "    --out FILE      where to write the key\n"
        "  issue             signs a token here, notes it at the server, and prints it\n"
        "    --user USER     its owner\n"
        "    --cap C         what it may do (default: execute:python execute:javascript); "
        "repeat\n"
        "                    it for more; see 'firebreak key --help'\n"
        "    --ttl SPAN      at most, and by default, an hour\n"
        "    --key FILE      the signing key (default: STATE/token.jwk), as for --from\n"
        "    --offline       does not tell the server: it will not be in the list\n"
        "  list              the tokens that the server was told of and that have not expired\n"
        "  verify            would the server take this token now? Exit status 1 if not\n"
        "  revoke            one token, or all that a user was issued until 30 seconds from "
        "now;\n"
        "                    what they have open in sandboxes ends\n"
        "  keys, distrust    the keys whose tokens are taken; takes them no more\n"
        "  --json            as JSON\n"
        "Tokens and keys are never arguments: they are read from a file or standard "
        "input.\n" PLACE_HELP,
    .run = token_run,
};
