#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: binaries_are_hardened.sh PROGRAM... : position independent, relocations read-only before main, no executable
# stack, no segment both writable and executable, no search path of its own, no relocation of text.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
n=0
for bin in "$@"; do
    name=$(basename "$bin")
    n=$((n + 1))
    dynamic=$(readelf -dW "$bin" 2>/dev/null)
    segments=$(readelf -lW "$bin")
    readelf -hW "$bin" | grep -Eq 'Type: +DYN' || wrong "$name is not position independent"
    grep -Eq 'FLAGS_1.*\bPIE\b' <<<"$dynamic" || wrong "$name lacks the PIE flag"
    grep -q GNU_RELRO <<<"$segments" || wrong "$name has no RELRO segment"
    grep -Eq 'BIND_NOW|FLAGS_1.*\bNOW\b' <<<"$dynamic" || wrong "$name binds lazily (RELRO is partial)"
    stack=$(grep GNU_STACK <<<"$segments" || true)
    [[ $stack == *' RW '* ]] || wrong "$name: stack segment is '$stack'"
    ! grep -Eq '^ +LOAD.* RWE ' <<<"$segments" || wrong "$name has a writable and executable segment"
    ! grep -Eq '\((RPATH|RUNPATH)\)' <<<"$dynamic" || wrong "$name has its own library search path"
    ! grep -q '(TEXTREL)' <<<"$dynamic" || wrong "$name relocates its text"
    symbols=$(nm "$bin" 2>/dev/null; nm -D "$bin" 2>/dev/null)
    grep -q '__stack_chk_fail' <<<"$symbols" || wrong "$name is built without a stack protector"
done
verdict programs "$n"
