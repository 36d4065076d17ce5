#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh TARGET [SECONDS]   fuzzes tests/fuzz/fuzz_TARGET.c, starting from its corpus; new inputs go to build-fuzz/corpus
# fuzz.sh --replay           feeds every target its corpus and its past crashes once; prints "ok - name" or "not ok - name"
# fuzz.sh --list             names the targets
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=build-fuzz

command -v clang >/dev/null || {
    echo 'fuzz: clang is not installed; run: tools/install-deps.sh test' >&2
    exit 1
}
if [ ! -f $dir/build.ninja ]; then
    # fuzzer-no-link: the libraries report what they cover, too.
    CC=clang meson setup $dir -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link >/dev/null || {
        tail -n 20 $dir/meson-logs/meson-log.txt >&2
        exit 1
    }
fi

ninja -C $dir build.ninja >/dev/null # configured before a target was added, it would not know of it
mapfile -t targets < <(meson introspect --targets $dir | python3 -c '
import json, os, sys
for t in json.load(sys.stdin):
    if t["type"] == "executable" and t["name"].startswith("fuzz_"):
        print(os.path.relpath(t["filename"][0], sys.argv[1]))
' "$PWD/$dir" | sort)

usage() {
    echo 'usage: make fuzz T=TARGET S=SECONDS; the targets are:' >&2
    for t in "${targets[@]}"; do
        t=${t##*/}
        echo "  ${t#fuzz_}" >&2
    done
    exit 2
}
corpora() { # NAME: the directories of its inputs that exist
    local d
    for d in tests/fuzz/corpus/"$1" tests/fuzz/crashes/"$1"; do
        [ ! -d "$d" ] || printf '%s\n' "$d"
    done
}

case ${1:-} in
--list)
    printf '%s\n' "${targets[@]##*/fuzz_}"
    ;;
--replay)
    if [ ${#targets[@]} -eq 0 ]; then
        echo 'not ok - fuzz: there is no target'
        exit 1
    fi
    ninja -C $dir "${targets[@]}" >$dir/replay.log 2>&1 || {
        tail -n 30 $dir/replay.log >&2
        echo 'not ok - fuzz: the targets do not build'
        exit 1
    }
    status=0
    for t in "${targets[@]}"; do
        name=${t##*/fuzz_}
        mapfile -t dirs < <(corpora "$name")
        if timeout 300 "$dir/$t" -runs=0 "${dirs[@]}" >$dir/replay.log 2>&1 </dev/null; then
            echo "ok - fuzz.$name: replays its corpus"
        else
            tail -n 40 $dir/replay.log >&2
            echo "not ok - fuzz.$name: replays its corpus"
            status=1
        fi
    done
    exit $status
    ;;
'' | -*) usage ;;
*)
    seconds=${2:-60}
    [[ $seconds =~ ^[0-9]+$ ]] || usage
    target=''
    for t in "${targets[@]}"; do
        if [ "${t##*/}" = "fuzz_$1" ]; then target=$t; fi
    done
    [ -n "$target" ] || {
        echo "fuzz: there is no target '$1'" >&2
        usage
    }
    ninja -C $dir "$target"
    mkdir -p "$dir/corpus/$1"
    mapfile -t dirs < <(corpora "$1")
    dict=()
    [ ! -f "tests/fuzz/$1.dict" ] || dict=("-dict=tests/fuzz/$1.dict")
    exec "$dir/$target" -max_total_time="$seconds" -artifact_prefix="$dir/" "${dict[@]}" "$dir/corpus/$1" "${dirs[@]}"
    ;;
esac
