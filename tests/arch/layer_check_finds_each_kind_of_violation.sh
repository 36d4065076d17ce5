#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/check-layers.py must refuse what it is there for: a check that cannot fail proves nothing.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
check=$PWD/tools/check-layers.py
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{tools,lib/base,lib/codec,src/warden}
printf 'base:\ncodec: base\nwarden: base\n' >"$tree/tools/layers.txt"
echo '#include "base/a.h"' >"$tree/lib/base/a.h"
n=0
python3 "$check" "$tree" >/dev/null || wrong "a correct tree is refused"
try() { # FILE LINE EXPECTED-WORDS
    n=$((n + 1))
    echo "$2" >"$tree/$1"
    local out
    if out=$(python3 "$check" "$tree" 2>&1); then
        wrong "accepts $2 in $1"
    elif [[ $out != *"$3"* ]]; then
        wrong "$2 in $1: says '$out', not '$3'"
    fi
    rm "$tree/$1"
}
try src/warden/x.c '#include "codec/json.h"' 'src/warden/x.c:1: warden may not include codec/json.h'
try lib/base/x.c '  #  include "codec/json.h"' 'base may not include'
try src/warden/x.c '#include "base/x_priv.h"' 'private to base'
try lib/base/x.c '#include "a.h"' 'write the layer'
mkdir "$tree/lib/new"
try lib/new/x.c '#include <stdio.h>' 'not in tools/layers.txt'
rmdir "$tree/lib/new"
try tools/layers.txt 'base: codec' 'must be listed above it'
verdict violations "$n"
