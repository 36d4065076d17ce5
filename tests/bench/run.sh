#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh: the numbers that are promised, measured on this machine now. Prints tables; says nothing about good or bad.
# BENCH_N samples of each kind (40), BENCH_SECONDS for the request rate (5).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
refuse() {
    echo "bench: $1" >&2
    exit 1
}
[ "$(id -u)" -eq 0 ] || refuse "needs root, as firebreak up does"
missing=()
for pair in node:nodejs bwrap:bubblewrap crun:crun wrk:wrk jq:jq cc:gcc unshare:util-linux; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] || refuse "packages are missing: ${missing[*]} (apt-get install them)"
unset E2B_API_KEY E2B_API_URL E2B_SANDBOX_URL E2B_DOMAIN NODE_OPTIONS NODE_EXTRA_CA_CERTS http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
exec node "$here/bench.mjs"
