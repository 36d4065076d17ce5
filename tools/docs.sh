#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs.sh OUTPUT-DIR: makes the manual pages and lets mandoc look for mistakes in them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-build/man}
command -v scdoc >/dev/null || {
    echo 'docs: scdoc is not installed; run: tools/install-deps.sh' >&2
    exit 1
}
mkdir -p "$out"
n=0
for page in docs/man/*.scd; do
    name=$(basename "$page" .scd)
    scdoc <"$page" >"$out/$name"
    if command -v mandoc >/dev/null; then
        # scdoc writes the date as YYYY-MM-DD and closes paragraphs that are empty; neither is a mistake of the page.
        mandoc -Tlint -Wwarning "$out/$name" | grep -vE 'skipping paragraph macro|missing date|cannot parse date' >&2 && exit 1
    fi
    n=$((n + 1))
done
echo "$n manual pages in $out"
