#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh [SECONDS]: a private instance makes and kills sandboxes, two at a time; afterwards nothing of them may be left, and the
# services must not have grown. Prints creations and memory; exit status 1 on a leak or a failed run.
# shellcheck disable=SC2317 # finish is called by the trap
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ ]] || {
    echo 'usage: make soak S=SECONDS' >&2
    exit 2
}
[ "$(id -u)" -eq 0 ] || {
    echo 'soak: needs root' >&2
    exit 1
}
fb=$(realpath "${BUILD:-build}")/src/firebreak/firebreak
work=$(mktemp -d)
chmod 0755 "$work"
up=''
finish() {
    local rc=$?
    if [ -n "$up" ]; then
        kill "$up" 2>/dev/null || true
        wait "$up" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT TERM

templates=/var/lib/firebreak/templates
mkdir -m 0755 "$work/state" "$work/state/templates"
cp -l "$templates"/*.erofs "$templates"/*.json "$work/state/templates/" 2>/dev/null ||
    cp "$templates"/*.erofs "$templates"/*.json "$work/state/templates/"
export FIREBREAK_INSTANCE=soak FIREBREAK_STATE=$work/state FIREBREAK_RUN=$work/run
unset E2B_API_KEY E2B_API_URL E2B_SANDBOX_URL
"$fb" up --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
up=$!
for _ in $(seq 300); do
    if [ -s "$work/run/api.url" ] || ! kill -0 "$up" 2>/dev/null; then break; fi
    sleep 0.1
done
if [ ! -s "$work/run/api.url" ]; then
    cat "$work/log" >&2
    exit 1
fi

service() { pgrep -P "$up" -x "$1"; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(service "$1")/status"; }
descriptors() { find "/proc/$(service "$1")/fd" -mindepth 1 -printf x | wc -c; }
state_of() { printf '%s %s %s %s' "$(resident warden)" "$(resident e2b-sandbox)" "$(descriptors warden)" "$(descriptors e2b-sandbox)"; }

worker() { # FILE: counts the runs that gave the right answer
    local until=$((SECONDS + seconds)) n=0
    while [ $SECONDS -lt $until ]; do
        # shellcheck disable=SC2016 # the shell inside computes it
        [ "$("$fb" run --lang bash -c 'echo $((6 * 7))')" = 42 ] || {
            echo "a run failed after $n" >"$1.bad"
            break
        }
        n=$((n + 1))
    done
    echo $n >"$1"
}
for _ in 1 2 3 4 5; do "$fb" run --lang bash -c : >/dev/null; done # what is made once is made now
read -r warden_kib api_kib warden_fds api_fds <<<"$(state_of)"
worker "$work/a" &
a=$!
worker "$work/b" &
b=$!
wait "$a" "$b"
sleep 1 # the last ones are still being taken apart
read -r warden_kib_after api_kib_after warden_fds_after api_fds_after <<<"$(state_of)"
total=$(($(cat "$work/a") + $(cat "$work/b")))
groups=$(find /sys/fs/cgroup -type d -path '*e2b-sandbox-soak/*' | wc -l)

echo "$total sandboxes in $seconds s ($((total / (seconds > 0 ? seconds : 1)))/s)"
echo "warden       ${warden_kib} -> ${warden_kib_after} KiB, ${warden_fds} -> ${warden_fds_after} descriptors"
echo "e2b-sandbox  ${api_kib} -> ${api_kib_after} KiB, ${api_fds} -> ${api_fds_after} descriptors"
echo "cgroups left: $groups; listed: $("$fb" ps --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')"
status=0
cat "$work"/*.bad 2>/dev/null && status=1
# 4 MiB of growth and four descriptors are more than caches and kept connections need.
if [ "$total" -eq 0 ] || [ "$groups" -ne 0 ] || [ $((warden_kib_after - warden_kib)) -gt 4096 ] ||
    [ $((api_kib_after - api_kib)) -gt 4096 ] || [ $((warden_fds_after - warden_fds)) -gt 4 ] ||
    [ $((api_fds_after - api_fds)) -gt 4 ]; then
    status=1
fi
if [ $status -eq 0 ]; then echo 'no leak'; else echo 'LEAK OR FAILURE' >&2; fi
exit $status
