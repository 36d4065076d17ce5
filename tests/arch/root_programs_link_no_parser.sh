#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: root_programs_link_no_parser.sh PROGRAM... : a program that is root on the host needs libc and nothing else, and
# no symbol of a text parser, of name resolution, of a network server or of something that runs other people's programs.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/files.sh"
n=0
prefixes='json_|http1?_|url_|multipart_|connect_(read|write|end|error)|ws_|base64_|sqlite3'
of_libc='getaddrinfo|gethostbyname|getpwnam|getgrnam|popen|system|wordexp|glob|regcomp|iconv_open|dlopen|setlocale|s?scanf|fscanf|__isoc(99|23)_[sf]?scanf'
for bin in "$@"; do
    name=$(basename "$bin")
    n=$((n + 1))
    needed=$(readelf -dW "$bin" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    for lib in $needed; do
        case $lib in libc.so.6 | ld-linux*.so.*) ;; *) wrong "$name needs $lib" ;; esac
    done
    symbols=$(nm "$bin" | awk '{print $NF}' | sed 's/@.*//' | sort -u)
    [ "$(wc -l <<<"$symbols")" -gt 20 ] || wrong "$name: no symbols to look at"
    refused="^($prefixes)"
    # A static program has all kinds of libc's own, reachable or not; what it calls of it shows only when it is linked dynamically.
    [ -z "$needed" ] || refused="$refused|^($of_libc)\$"
    hits=$(grep -E "$refused" <<<"$symbols" | tr '\n' ' ' || true)
    [ -z "$hits" ] || wrong "$name has $hits"
done
verdict programs "$n"
