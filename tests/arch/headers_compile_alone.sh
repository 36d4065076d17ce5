#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each header brings what it needs: it compiles as the only include of a file. A table, which is included inside of a
# macro's definition (a list of ROW(...) lines), is not a header in this sense and has no #pragma once.
. "$(dirname "$0")/files.sh"
cc=${1:-cc}
n=0
one() {
    "$cc" -std=gnu17 -D_GNU_SOURCE -DFIREBREAK_VERSION='"0"' -Ilib -Isrc -Wall -Wextra -Werror -fsyntax-only \
        -include base/banned.h -x c - <<<"#include \"${1#*/}\"" 2>&1 && return 0
    echo "$1 does not compile alone"
    return 1
}
while IFS= read -r h; do
    if ! grep -q '^#pragma once' "$h"; then
        first=$(sed -e 's,/\*.*\*/,,' -e '/^\/\*/,/\*\//d' -e '/^ *$/d' "$h" | head -n 1)
        [[ $first =~ ^[A-Za-z_]+\( ]] || wrong "$h has no #pragma once, and is no table either: $first"
        continue
    fi
    n=$((n + 1))
    one "$h" || found=$((found + 1))
done < <(find lib src -name '*.h' | sort)
verdict headers "$n"
