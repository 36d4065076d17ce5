#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each directory of src/ is a program, and each program has a page in docs/man.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
n=0
for dir in src/*/; do
    name=$(basename "$dir")
    n=$((n + 1))
    set -- docs/man/"$name".[0-9]*
    [ -s "$1" ] || wrong "$name has no page docs/man/$name.SECTION"
done
verdict programs "$n"
