#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each header brings what it needs: it compiles as the only include of a file. A table, which is included inside of a
# macro's definition (a list of ROW(...) lines), is not a header in this sense and has no #pragma once.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
headers=()
while IFS= read -r h; do
    if grep -q '^#pragma once' "$h"; then
        headers+=("$h")
        continue
    fi
    first=$(sed -e 's,/\*.*\*/,,' -e '/^\/\*/,/\*\//d' -e '/^ *$/d' -e '/^\/\/ clang-format off$/d' "$h" | head -n 1)
    [[ $first =~ ^[A-Za-z_]+\( ]] || wrong "$h has no #pragma once, and is no table either: $first"
done < <(find lib src -name '*.h' | sort)
# shellcheck disable=SC2016 # $1 is of the inner shell
one='shift; f=$1; shift; echo "#include \"${f#*/}\"" | "$@" -x c - || echo "$f does not compile alone"'
report=$(printf '%s\0' "${headers[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c "$one" _ _ {} "${@:-cc}" -std=gnu17 -D_GNU_SOURCE \
    -DFIREBREAK_VERSION='"0"' -Ilib -Isrc -Wall -Wextra -Werror -fsyntax-only 2>&1)
[ -z "$report" ] || wrong "$report"
verdict headers "${#headers[@]}"
