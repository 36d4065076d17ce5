#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh [PART...]: the long forms of tests/fault, one after the other; all of them without PART. Exit status 1 if one failed.
#   leaks     100,000 sandboxes made and killed; prints what grows per thousand   (FAULT_CYCLES, FAULT_CLIENTS, FAULT_ALONE=1)
#   storm     10,000 random kill -9 of any process while 20 clients work          (FAULT_KILLS, FAULT_SEED)
#   calls     daemons killed at, and failed in, each system call of create and kill  (FAULT_PATHS)
#   recovery  1,000 idle sandboxes, and how long until all are back after a crash (FAULT_SANDBOXES)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
declare -A file=([leaks]=leaks [storm]=storm [calls]=each_call [recovery]=recovery_of_many)
parts=("$@")
[ $# -gt 0 ] || parts=(recovery leaks storm calls)
for part in "${parts[@]}"; do
    [ -n "${file[$part]:-}" ] || {
        echo "usage: make soak P='[leaks] [storm] [calls] [recovery]'" >&2
        exit 2
    }
done
[ "$(id -u)" -eq 0 ] || {
    echo 'soak: needs root' >&2
    exit 1
}
export FIREBREAK_BUILD=${BUILD:-build} FAULT_EVERY=1
export FAULT_CYCLES=${FAULT_CYCLES:-100000} FAULT_KILLS=${FAULT_KILLS:-10000} FAULT_SANDBOXES=${FAULT_SANDBOXES:-1000}
unset E2B_API_KEY E2B_API_URL E2B_SANDBOX_URL

status=0
for part in "${parts[@]}"; do
    echo "== $part"
    node "tests/fault/${file[$part]}.mjs" || status=1
done
exit $status
