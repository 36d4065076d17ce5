#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# suite.sh SUITE [NAME]: what tests/e2e/run.sh and tests/security/run.sh do. Output: "ok - name", "not ok - name: reason".
set -euo pipefail
suite=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
refuse() {
    echo "not ok - $suite: $1"
    exit 1
}
[ "$(id -u)" -eq 0 ] || refuse "needs root: sandboxes are built with namespaces, cgroups and mounts"
missing=()
for pair in node:nodejs npm:npm cc:gcc unshare:util-linux setpriv:util-linux ip:iproute2 promtool:prometheus stress-ng:stress-ng trinity:trinity mkfs.erofs:erofs-utils; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] || refuse "packages are missing: ${missing[*]}: run tools/install-deps.sh test"
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || refuse "needs node 20 or newer, this is $(node --version): run tools/install-deps.sh test"

# The packages of the lock file, once, and again when it changes.
packages=$here/../e2e
stamp=$packages/node_modules/.installed
if ! cmp -s "$packages/package-lock.json" "$stamp"; then
    log=$(mktemp)
    if ! (cd "$packages" && npm ci --no-audit --no-fund) >"$log" 2>&1; then
        sed 's/^/# /' "$log" >&2
        rm -f "$log"
        refuse "npm ci failed in tests/e2e"
    fi
    rm -f "$log"
    cp "$packages/package-lock.json" "$stamp"
fi
# Settings of the shell that runs the tests must not reach the programs under test.
unset E2B_API_KEY E2B_API_URL E2B_SANDBOX_URL E2B_DOMAIN E2B_DEBUG NODE_OPTIONS NODE_EXTRA_CA_CERTS \
    http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
exec node "$here/run.mjs" "$suite" "${2:-}"
