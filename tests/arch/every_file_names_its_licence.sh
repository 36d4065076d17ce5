#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first lines of each file that can hold a comment carry the SPDX line.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
kinds='\.(c|h|sh|py|mjs|js|css|ya?ml|policy|service|build)$|^(\.ci|tools)/|(^|/)Makefile$'
plain='^tools/layers\.txt$|\.(md|txt|json)$'
mapfile -d '' files < <(tree_files | grep -zE "$kinds" | grep -zvE "$plain")
while IFS= read -r name; do
    [ ! -f "$name" ] || wrong "$name"
done < <(awk 'FNR == 1 { named[FILENAME] = 0 } FNR <= 3 && /SPDX-License-Identifier: Apache-2.0/ { named[FILENAME] = 1 }
    FNR > 3 { nextfile } END { for (f in named) if (!named[f]) print f }' "${files[@]}" 2>/dev/null)
verdict files "${#files[@]}"
