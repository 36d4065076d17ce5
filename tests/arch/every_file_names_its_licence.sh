#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first lines of each file that can hold a comment carry the SPDX line.
. "$(dirname "$0")/files.sh"
n=0
while IFS= read -r -d '' f; do
    case $f in
    *.c | *.h | *.sh | *.py | *.mjs | *.js | *.yaml | *.yml | *.css | .ci/* | tools/* | *.policy | *.service) ;;
    *) continue ;;
    esac
    case $f in tools/layers.txt | */corpus/* | */crashes/* | *.dict | *.md | *.txt) continue ;; esac
    n=$((n + 1))
    head -n 3 -- "$f" | grep -aq 'SPDX-License-Identifier: Apache-2.0' || wrong "$f"
done < <(tree_files)
verdict files "$n"
