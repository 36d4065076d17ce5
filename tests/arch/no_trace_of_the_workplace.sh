#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tree is about Firebreak only: no path of one machine it was written on, no host of a package registry, no secret.
# (The words are spelled in two halves so that this file does not find itself.)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
words="(^|[^A-Za-z0-9_./])/wo""rk/(main|shared)|/tm""p/fb|registry\\.np""mjs|np""mjs\\.org|deb\\.deb""ian\\.org|py""pi\\.org"
words="$words|BEGIN [A-Z ]*PRIV""ATE KEY|\\be2b_[0-9a-f]{40}\\b"
allowed='e2b_0{40}|e2b_(dead''beef){5}|e2b_(0123456789abcdef){2}'
hits=$(tree_files | xargs -0r grep -sHnIE "$words" -- | grep -vE "$allowed" || true)
[ -z "$hits" ] || wrong "$hits"
while IFS= read -r -d '' lock; do
    ! grep -q '"resolved"' "$lock" || wrong "$lock names where packages were fetched from: npm install with omit-lockfile-registry-resolved"
done < <(tree_files | grep -zE 'package-lock\.json$')
verdict files "$(tree_files | tr -dc '\0' | wc -c)"
