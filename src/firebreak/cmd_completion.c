/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak completion: prints a script for the shell; packaging installs the same text. */
#include <stdio.h>
#include <string.h>

#include "firebreak/cli.h"

static const char bash[] =
    "# firebreak: completion for bash. Load with: source <(firebreak completion bash)\n"
    "_firebreak() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
    "    local place='--instance --state --run --help'\n"
    "    case $prev in\n"
    "    --state | --run | --log-dir)\n"
    "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
    "        return\n"
    "        ;;\n"
    "    --lang)\n"
    "        mapfile -t COMPREPLY < <(compgen -W 'python javascript bash' -- \"$cur\")\n"
    "        return\n"
    "        ;;\n"
    "    --template)\n"
    "        words=$(firebreak template ls 2>/dev/null | awk 'NR > 1 { print $1 }')\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "        return\n"
    "        ;;\n"
    "    --log-level)\n"
    "        mapfile -t COMPREPLY < <(compgen -W 'error warn info debug' -- \"$cur\")\n"
    "        return\n"
    "        ;;\n"
    "    esac\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        words='up run ps info kill template key token doctor check-invariants audit "
    "secrets "
    "completion "
    "version "
    "--help'\n"
    "    else\n"
    "        case ${COMP_WORDS[1]} in\n"
    "        up) words=\"--listen --max-sandboxes --pool-max --pool-memory --warm --uid-base "
    "--total-memory --total-pids "
    "--reserve-memory --keep --log-dir --domain --host --max-timeout --pids "
    "--conns-per-sandbox --internet --record --head-every --loki --loki-tenant --net-range "
    "--net-dns --net-conns "
    "--net-bytes "
    "--log-level $place\" ;;\n"
    "        run)\n"
    "            words=\"-c --lang --template --timeout --json $place\"\n"
    "            [[ $cur == -* ]] || {\n"
    "                mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "                return\n"
    "            }\n"
    "            ;;\n"
    "        ps) words=\"--json --all-owners $place\" ;;\n"
    "        info | kill)\n"
    "            if [[ $cur == -* ]]; then\n"
    "                [ \"${COMP_WORDS[1]}\" = info ] && words=\"--json $place\" || "
    "words=\"--all --all-owners $place\"\n"
    "            else\n"
    "                words=$(firebreak ps 2>/dev/null | awk 'NR > 1 { print $1 }')\n"
    "            fi\n"
    "            ;;\n"
    "        template)\n"
    "            if [ \"$COMP_CWORD\" -eq 2 ]; then words='ls build --help'\n"
    "            elif [ \"${COMP_WORDS[2]}\" = build ]; then words=\"--name --package --mirror "
    "--suite --force $place\"\n"
    "            else words=$place; fi\n"
    "            ;;\n"
    "        key)\n"
    "            if [ \"$COMP_CWORD\" -eq 2 ]; then words='issue list revoke --help'\n"
    "            elif [ \"${COMP_WORDS[2]}\" = issue ]; then words=\"--name --owner --cap "
    "--admin "
    "--expires --json $place\"\n"
    "            else words=\"--json $place\"; fi\n"
    "            ;;\n"
    "        token)\n"
    "            if [ \"$COMP_CWORD\" -eq 2 ]; then words='issue list revoke verify trust keys "
    "distrust --help'\n"
    "            elif [ \"${COMP_WORDS[2]}\" = issue ]; then words=\"--user --cap --ttl --key "
    "--offline --json $place\"\n"
    "            elif [ \"${COMP_WORDS[2]}\" = trust ]; then words=\"--from --alg --kid --iss "
    "--aud "
    "--out --json $place\"\n"
    "            elif [ \"${COMP_WORDS[2]}\" = revoke ]; then words=\"--jti --user --token "
    "--json "
    "$place\"\n"
    "            else words=\"--json $place\"; fi\n"
    "            ;;\n"
    "        doctor) words=\"--json $place\" ;;\n"
    "        audit) words=\"verify query tail report export --since --until --type --sandbox "
    "--user --agent "
    "--address --limit --follow --public-key --dir --json $place\" ;;\n"
    "        secrets) words=\"encrypt decrypt lint list rotate import-env --passphrase-file "
    "--kdf --out "
    "--production --json $place\" ;;\n"
    "        check-invariants) words=\"--json --stopped --settle-ms --uid-base --max-sandboxes "
    "$place\" ;;\n"
    "        completion) words='bash zsh' ;;\n"
    "        esac\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "}\n"
    "complete -o filenames -F _firebreak firebreak\n";

static const char zsh[] =
    "#compdef firebreak\n"
    "# firebreak: completion for zsh. Load with: source <(firebreak completion zsh)\n"
    "_firebreak() {\n"
    "    local -a commands place\n"
    "    commands=(up:'start an instance' run:'run a program in a new sandbox' ps:'list the "
    "sandboxes'\n"
    "        info:'show one sandbox' kill:'end sandboxes' template:'list or build templates'\n"
    "        key:'API keys' token:'bearer tokens'\n"
    "        doctor:'check this machine' check-invariants:'check an instance from outside' "
    "audit:'verify, search and copy the record' secrets:'encrypt and check secrets' "
    "completion:'print completion scripts' version:'print "
    "the version')\n"
    "    place=('--instance[which instance]:name:' '--state[state directory]:dir:_files -/'\n"
    "        '--run[run-time directory]:dir:_files -/' '(- *)--help[help]')\n"
    "    if (( CURRENT == 2 )); then\n"
    "        _describe command commands\n"
    "        return\n"
    "    fi\n"
    "    local command=$words[2]\n"
    "    shift words\n"
    "    (( CURRENT-- ))\n"
    "    case $command in\n"
    "    up) _arguments $place '--listen[address and port]:address:' '--max-sandboxes[at "
    "most]:number:' \\\n"
    "        '--pool-max[held ready]:number:' '--pool-memory[of those]:mebibytes:' "
    "'--warm[what waits in those]:what:(python3 none)' \\\n"
    "        '--uid-base[first host uid]:uid:' '--keep[leave sandboxes running]' "
    "'--internet[may sandboxes have a network]:word:(allow deny)' '--net-range[first of their "
    "addresses]:address:' "
    "'--net-dns[server for names]:address:' '--net-conns[connections of one]:number:' "
    "'--net-bytes[bytes a second of one]:number:' "
    "'--log-dir[logs]:dir:_files -/' ;;\n"
    "    run) _arguments $place '-c[code]:code:' '--lang[language]:language:(python javascript "
    "bash)' \\\n"
    "        '--template[template]:name:' '--timeout[seconds]:seconds:' '--json[one JSON "
    "object]' '*:file:_files' ;;\n"
    "    ps) _arguments $place '--json[as JSON]' '--all-owners[of everybody]' ;;\n"
    "    info) _arguments $place '--json[as JSON]' \\\n"
    "        \"*:sandbox:(${(f)$(firebreak ps 2>/dev/null | awk 'NR > 1 { print $1 }')})\" ;;\n"
    "    kill) _arguments $place '--all[every sandbox]' '--all-owners[of everybody]' \\\n"
    "        \"*:sandbox:(${(f)$(firebreak ps 2>/dev/null | awk 'NR > 1 { print $1 }')})\" ;;\n"
    "    template) _arguments $place '--package[Debian package]:package:' '--name[name]:name:' "
    "'--mirror[mirror]:url:' "
    "'--suite[release]:codename:' \\\n"
    "        '--force[build anyway]' '1:command:(ls build)' ;;\n"
    "    key) _arguments $place '--name[name]:name:' '--owner[owner]:owner:' "
    "'--cap[capability]:name:' \\\n"
    "        '--admin[an operator]' '--expires[span]:span:' '--json[as JSON]' "
    "'1:command:(issue list "
    "revoke)' ;;\n"
    "    token) _arguments $place '--user[user]:id:' '--cap[capability]:name:' "
    "'--ttl[span]:span:' \\\n"
    "        '--key[signing key]:file:_files' '--from[key]:file:_files' '--json[as JSON]' \\\n"
    "        '1:command:(issue list revoke verify trust keys distrust)' ;;\n"
    "    doctor) _arguments $place '--json[as JSON]' ;;\n"
    "    audit) _arguments $place '1:verb:(verify query tail report export)' '--json[as JSON]' "
    ";;\n"
    "    secrets) _arguments $place '1:verb:(encrypt decrypt lint list rotate import-env)' "
    "'*:file:_files' ;;\n"
    "    check-invariants) _arguments $place '--json[as JSON]' '--stopped[nothing may be "
    "left]' \\\n"
    "        '--settle-ms[for how long a violation lasts]:milliseconds:' '--uid-base[first "
    "host "
    "uid]:uid:' \\\n"
    "        '--max-sandboxes[at most]:number:' ;;\n"
    "    completion) _arguments '1:shell:(bash zsh)' ;;\n"
    "    esac\n"
    "}\n"
    "compdef _firebreak firebreak\n";

static int completion_run(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
    int o = cli_next_option(&cmd_completion, argc, argv, "", options);
    int ended = cli_options_ended(o);

    if (ended >= 0)
        return ended;
    if (argc - optind != 1)
        return cli_usage_error(&cmd_completion, "name one shell: bash or zsh");
    if (strcmp(argv[optind], "bash") == 0)
        (void)fputs(bash, stdout);
    else if (strcmp(argv[optind], "zsh") == 0)
        (void)fputs(zsh, stdout);
    else
        return cli_usage_error(&cmd_completion,
                               "there is completion for bash and zsh, not for '%s'",
                               argv[optind]);
    return cli_finish_stdout(CLI_OK);
}

const struct cli_command cmd_completion = {
    .name = "completion",
    .summary = "Print a completion script for a shell",
    .usage = "bash|zsh",
    .help = "  To use it now:    source <(firebreak completion bash)\n",
    .run = completion_run,
};
