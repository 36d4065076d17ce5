# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the checks of this folder: the files that make up the tree, and how a check says what it found.
set -euo pipefail
cd "${MESON_SOURCE_ROOT:-$(dirname "${BASH_SOURCE[0]}")/../..}"
found=0

# NUL-separated names: what git tracks or would track; without git (a source archive), everything but builds. Words are looked
# for by one grep over all of them: a process per file would take most of a minute.
tree_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard --deduplicate
    else
        find . \( -path './build*' -o -name node_modules -o -name .git \) -prune -o -type f -printf '%P\0'
    fi | grep -zvE '/(corpus|crashes)/'
}
wrong() {
    echo "$*"
    found=$((found + 1))
}
verdict() { # WHAT-WAS-LOOKED-AT COUNT: a check that looked at nothing has failed
    if [ "$2" -eq 0 ]; then wrong "found no $1 to look at"; fi
    echo "$2 $1, $found wrong"
    if [ "$found" -eq 0 ]; then exit 0; fi
    exit 1
}
