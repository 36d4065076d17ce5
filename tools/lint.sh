#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh: every analyser, one line each; what one finds is printed and makes the exit status 1.
# shellcheck disable=SC2317 # functions are called by name, through run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=build-analyzer
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

run() { # NAME COMMAND...
    local name=$1 begun=$SECONDS
    shift
    if ! command -v "$1" >/dev/null && ! declare -F "$1" >/dev/null; then
        echo "lint: $name: '$1' is not installed; run: apt-get install $1" >&2
        status=1
        return 0
    fi
    if "$@" >"$log" 2>&1; then
        printf '%-14s clean (%d s)\n' "$name" $((SECONDS - begun))
    else
        cat "$log"
        printf '%-14s FOUND SOMETHING\n' "$name"
        status=1
    fi
}
files() { git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' f; do [ ! -f "$f" ] || printf '%s\0' "$f"; done; }

format() { files '*.c' '*.h' | xargs -0 -r clang-format --dry-run -Werror; }
scripts() {
    files | while IFS= read -r -d '' f; do
        if head -n 1 "$f" | grep -aqE '^#!/bin/(ba)?sh'; then printf '%s\0' "$f"; fi
    done | xargs -0 -r shellcheck -x -P SCRIPTDIR
}
spelling() { files ':!*.json' ':!LICENSE' | xargs -0 -r codespell --quiet-level=2 --ignore-words-list=creat,unx,ans,statics,ro,te,inout,nd,fo,hel; }
# gcc 12's analyser does not follow cleanup attributes to the end of a scope: its leak reports on AUTO_* locals are false.
analyzer() {
    if [ ! -f "$dir"/build.ninja ]; then
        CC=gcc meson setup "$dir" -Doptimization=1 -Dc_args="-fanalyzer -Wno-analyzer-fd-leak -Wno-analyzer-malloc-leak -Wno-analyzer-file-leak" >/dev/null
    fi
    ninja -k 0 -C "$dir"
}
# A data base of commands as clang takes them; nothing is compiled for it. One file at a time: the va_list checker of clang-tidy 14
# mixes files up.
tidy() {
    [ -f build-clang/build.ninja ] || CC=clang meson setup build-clang >/dev/null
    ninja -C build-clang src/envd/warm_launcher.inc >/dev/null
    files 'lib/*.c' 'src/*.c' | xargs -0 -r -n 1 -P 2 clang-tidy -p build-clang --quiet
}
# It does not know cleanup attributes either, nor that readdir on a DIR of one's own is safe.
check() {
    cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,performance,portability -Ilib -Isrc \
        -D_GNU_SOURCE '-Djson_object_foreach(o,k,v)=for(;;)' '-Djson_array_foreach(a,i,v)=for(;;)' \
        --suppress=memleak --suppress=resourceLeak --suppress=readdirCalled --suppress=missingInclude \
        --suppress=preprocessorErrorDirective --library=posix,gnu lib src
}

run clang-format format
run shellcheck scripts
run codespell spelling
run cppcheck check
run fanalyzer analyzer
run clang-tidy tidy
exit $status
