#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each row of docs/security-catalogue.md is there once and names tests that exist, and each test of tests/security is in it; and the
# check that says so finds each kind of difference.
# shellcheck source-path=SCRIPTDIR disable=SC2016 # backquotes are the page's
. "$(dirname "$0")/files.sh"
check=$PWD/tests/arch/catalogue_lists_every_attack.py
python3 "$check" . || wrong "the page and the folder differ"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/docs" "$tree/tests/e2e"
cp -r tests/security "$tree/tests/"
cp tests/e2e/*.mjs "$tree/tests/e2e/"
page=$tree/docs/security-catalogue.md
n=0
try() { # SED-SCRIPT EXPECTED-WORDS
    n=$((n + 1))
    sed "$1" docs/security-catalogue.md >"$page"
    local out
    if out=$(python3 "$check" "$tree" 2>&1); then
        wrong "accepts the page after $1"
    elif [[ $out != *"$2"* ]]; then
        wrong "after $1 it says '$out', not '$2'"
    fi
}
try '/^| K08 /d' 'K08 is not listed'
try '/^| K08 /p' 'K08 is listed twice'
try 's/^| K08 /| K99 /' 'K99 is no row'
try 's/`K08_takes_a_cgroup.c`/nothing/' 'K08 names no test and no reason'
try 's/`K08_takes_a_cgroup.c`/`K08_takes_none.c`/' 'K08_takes_none.c, which is not there'
try 's/`is_root_on_the_host.mjs`/waits for: x/' 'is_root_on_the_host.mjs is not listed under'
try 's/^| F13 .*/| F13 | x | waits for: x |/' 'is not listed under F13'
verdict 'kinds of difference' "$n"
