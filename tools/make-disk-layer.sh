#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make-disk-layer.sh --state DIR MIB: makes the empty file system that writable layers of that size on disk begin as a copy of:
# STATE/layers/MIB.ext4. Run by `firebreak template disk`. No sandbox ever has this file or its bytes to write.
set -euo pipefail
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fail() { # STATUS MESSAGE
    echo "firebreak: $2" >&2
    exit "$1"
}
state='' size=''
while [ $# -gt 0 ]; do
    case $1 in
    --state) state=${2:?} && shift 2 ;;
    *) size=$1 && shift ;;
    esac
done
if ! [[ $size =~ ^[1-9][0-9]{1,4}$ ]] || [ "$size" -lt 16 ] || [ "$size" -gt 65536 ]; then
    fail 2 'template disk takes the size in MiB, 16 to 65536'
fi
[ -n "$state" ] || fail 2 '--state is missing'
[ "$(id -u)" -eq 0 ] || fail 1 'template disk needs root'
command -v mkfs.ext4 >/dev/null || fail 1 'mkfs.ext4 is missing: apt-get install e2fsprogs'
umask 022
mkdir -p "$state/layers"
new=$(mktemp "$state/layers/.new.XXXXXX")
trap 'rm -f "$new"' EXIT
# No journal: nothing of a sandbox outlives a crash of the host. No lost+found to tidy up: 4 KiB for each file, as in memory.
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1,nodiscard,root_owner=0:0 -m 0 -b 4096 -N $((size * 256)) "$new" "${size}M" >/dev/null
chmod 0444 "$new"
sync "$new"
mv -f "$new" "$state/layers/$size.ext4"
echo "layer $size MiB: $state/layers/$size.ext4"
