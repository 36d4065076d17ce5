/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak template: what sandboxes are made from. `build` hands over to the script that does it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "codec/json.h"
#include "firebreak/api.h"
#include "firebreak/cli.h"
#include "firebreak/programs.h"

#define BUILD_ARGS_MAX 256
#define METADATA_MAX   32768u

static void print_row(const char *name, const char *digest, long long bytes,
                      const char *created)
{
    (void)printf("%-24.24s%-16.12s%-12lld%.19s\n", name, digest, bytes >> 20, created);
}

static const char *text_of(const json_t *j, const char *field)
{
    const char *s = json_string_value(json_object_get(j, field));

    return s && *s ? s : "-";
}

/* The templates of this machine, read from STATE/templates: works without a running instance. */
/* Is the image that the metadata names there, and whole? */
static bool image_is_there(const char *dir, const json_t *j)
{
    char path[PLACE_PATH_MAX + 300];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%.64s.erofs", dir, text_of(j, "digest"));
    return stat(path, &st) == 0 &&
           st.st_size == (off_t)json_integer_value(json_object_get(j, "bytes"));
}

static int list_local(const struct place *p, struct err *e)
{
    char dir[PLACE_PATH_MAX + 16], path[PLACE_PATH_MAX + 300];
    char text[METADATA_MAX + 1];
    unsigned n = 0, bad_ones = 0;

    (void)snprintf(dir, sizeof dir, "%s/templates", p->state);
    DIR *d = opendir(dir);
    if (!d && errno != ENOENT)
        return err_set(e, errno, "open '%s'", dir);
    for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
        if (f->d_name[0] == '.' || !str_ends(str_from(f->d_name), STR(".json")))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        long got = cli_read_file(path, text, METADATA_MAX);
        struct err bad = { 0 };
        AUTO_JSON json_t *j =
            got < 0 ? NULL : json_parse((struct str){ text, (size_t)got }, &bad);
        if (!j) {
            (void)fprintf(stderr, "firebreak: '%s' cannot be read: %s\n", path,
                          got < 0 ? strerror((int)-got) : bad.text);
            bad_ones++;
            continue;
        }
        if (!image_is_there(dir, j)) {
            (void)fprintf(stderr,
                          "firebreak: template '%s': its image is missing or cut short\n",
                          text_of(j, "name"));
            bad_ones++;
        }
        if (n++ == 0)
            (void)printf("%-24s%-16s%-12s%s\n", "NAME", "DIGEST", "MIB", "CREATED");
        print_row(text_of(j, "name"), text_of(j, "digest"),
                  (long long)json_integer_value(json_object_get(j, "bytes")),
                  text_of(j, "createdAt"));
    }
    if (d)
        (void)closedir(d);
    if (n == 0 && bad_ones == 0)
        (void)printf("no template in %s; build one with: sudo firebreak template build\n", dir);
    return bad_ones == 0
               ? 0
               : err_say(e, EILSEQ, "%u of the templates in %s cannot be used", bad_ones, dir);
}

static int list_remote(const struct api *api, struct err *e)
{
    AUTO_API_ANSWER struct api_answer answer = { 0 };
    int rc = api_expect(api, "GET", "/templates", NULL, &answer, e);

    if (rc < 0)
        return rc;
    (void)printf("%-24s%-24s%-12s%-8s%-10s%s\n", "NAME", "TEMPLATE ID", "STATUS", "CPU",
                 "MEMORY", "CREATED");
    for (size_t i = 0; i < json_array_size(answer.json); i++) {
        json_t *t = json_array_get(answer.json, i);
        const char *name = json_string_value(json_array_get(json_object_get(t, "names"), 0));
        if (!name)
            name = json_string_value(json_array_get(json_object_get(t, "aliases"), 0));
        (void)printf("%-24.24s%-24.24s%-12.10s%-8lld%-10lld%.19s\n",
                     name ? name : text_of(t, "templateID"), text_of(t, "templateID"),
                     text_of(t, "buildStatus"),
                     (long long)json_integer_value(json_object_get(t, "cpuCount")),
                     (long long)json_integer_value(json_object_get(t, "memoryMB")),
                     text_of(t, "createdAt"));
    }
    return 0;
}

static int list_run(int argc, char **argv)
{
    static const struct option options[] = { PLACE_OPTIONS,
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    struct place place = { 0 };
    const char *url = getenv("E2B_API_URL");
    struct api api;
    struct err e;
    int o, rc;

    while ((o = cli_next_option(&cmd_template, argc, argv, "", options)) >= 0)
        (void)place_option(&place, o, optarg);
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (optind < argc)
        return cli_usage_error(&cmd_template, "unexpected argument '%s'", argv[optind]);
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_template, "%s", e.text);
    if (url && *url) {
        rc = api_open(&api, &place, &e);
        if (rc == 0)
            rc = list_remote(&api, &e);
        api_close(&api);
    } else {
        rc = list_local(&place, &e);
    }
    (void)fflush(stdout);
    if (rc == -EILSEQ)
        return cli_fail(&e,
                        "build them again: sudo firebreak template build --force --name NAME");
    return rc < 0 ? cli_fail(&e, api_hint(&e)) : cli_finish_stdout(CLI_OK);
}

/* The script checks its own arguments; here they are only handed on, with the state directory made explicit. */
static int script_run(const char *name, int argc, char **argv)
{
    char script[PROGRAM_PATH_MAX];
    char *args[BUILD_ARGS_MAX] = { script };
    struct place place = { 0 };
    struct err e;
    int n = 1;

    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--instance") == 0 && has_value) {
            (void)place_option(&place, PLACE_INSTANCE, argv[++i]);
        } else if (strcmp(argv[i], "--state") == 0 && has_value) {
            (void)place_option(&place, PLACE_STATE, argv[++i]);
        } else {
            if (n >= BUILD_ARGS_MAX - 3)
                return cli_usage_error(&cmd_template, "too many arguments");
            args[n++] = argv[i];
        }
    }
    if (place_resolve(&place, &e) < 0)
        return cli_usage_error(&cmd_template, "%s", e.text);
    args[n++] = (char[]){ "--state" };
    args[n++] = place.state;
    args[n] = NULL;
    if (program_find(name, script, &e) < 0)
        return cli_fail(&e, "build it with 'make', or install the package");
    (void)execv(script, args);
    (void)err_set(&e, errno, "execute '%s'", script);
    return cli_fail(&e, NULL);
}

static int template_run(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "ls") == 0)
        return list_run(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "build") == 0)
        return script_run("build-base-template.sh", argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "disk") == 0)
        return script_run("make-disk-layer.sh", argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        cli_print_help(&cmd_template, stdout);
        return cli_finish_stdout(CLI_OK);
    }
    if (argc > 1)
        return cli_usage_error(&cmd_template, "unknown command '%s'", argv[1]);
    return cli_usage_error(&cmd_template, "say what to do: ls, build or disk");
}

const struct cli_command cmd_template = {
    .name = "template",
    .summary = "List templates, or build one from Debian packages",
    .usage =
        "ls | disk MIB | build [--name NAME] [--package PACKAGE]... [--mirror URL] [--suite "
        "CODENAME] [--force]",
    .help =
        "  ls                what there is: of the API at E2B_API_URL if that is set, else "
        "of STATE/templates\n"
        "  disk MIB          as root, once: makes what writable layers of that size on disk "
        "begin as\n"
        "                    (templates with \"writableLayer\":\"disk\" and "
        "\"diskSizeMB\":MIB)\n"
        "  build             as root; a build whose inputs did not change is skipped, "
        "unless --force\n"
        "    --name NAME     its name (default: base)\n"
        "    --package P     a Debian package besides the usual ones (repeat it for more)\n"
        "    --mirror URL    take packages from there instead of the host's apt sources\n"
        "    --suite NAME    the release to install (default: the host's)\n" PLACE_HELP,
    .run = template_run,
};
