#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every directory of lib/ and src/ opens with a README.md that says what it is, what it may include, with which
# privileges it runs, which input is hostile and where to start reading.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
n=0
for dir in lib/*/ src/*/; do
    n=$((n + 1))
    readme=${dir}README.md
    if [ ! -s "$readme" ]; then
        wrong "$dir has no README.md"
        continue
    fi
    for word in 'may include' privileges 'hostile input' 'start reading'; do
        grep -qi -- "$word" "$readme" || wrong "$readme does not say: $word"
    done
done
verdict directories "$n"
