#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kvm-lab.sh: run a command in a throw-away Debian machine that has a real /dev/kvm and cgroup v2.
#
# The machine is Debian's own cloud kernel under QEMU TCG with emulated AMD SVM (-cpu max,+svm,+npt), so it needs neither
# hardware virtualisation nor a usable /dev/kvm of the host. Its root is, by default, the host's root, read-only over virtiofs,
# under an overlay on tmpfs: what is installed here is installed there. Nothing that it writes stays, except below -o DIR.
set -euo pipefail

usage() {
    cat <<U
usage: ${0##*/} [options] DIR|TARBALL|- -- COMMAND [ARG...]
  DIR or TARBALL appears read-write (copy on write) as /tree in the machine, where COMMAND starts; '-' for none.
  -m MIB     memory of the machine (2048)
  -c N       cpus (1); TCG is always single-threaded: multi-threaded TCG hangs under nested SVM
  -t SEC     limit for the whole run (300); exit status 124 when it passes
  -o DIR     host directory mounted read-write as /out
  -i IMAGE   root from a file system image (erofs, squashfs, ext4) instead of the host's root
  -M MACH    q35 (default) or microvm (may hang)
  -e K=V     environment of the command (repeat)
  -L         also load tun, nf_tables, veth, bridge, vhost_vsock, vhost_net, loop, erofs, squashfs, ext4
  -K KERNEL  kernel image (newest /boot/vmlinuz-*-cloud-amd64)
  -v         print the machine's console log on stderr at the end
  -T         print phase times on stderr
The status is the command's own; 125 if the machine ended without one, 69 if a package is missing.
U
}
die() { # STATUS MESSAGE
    echo "${0##*/}: $2" >&2
    exit "$1"
}

mem=2048 cpus=1 limit=300 out='' image='' machine=q35 extra='' verbose='' times='' kernel='' variables=()
while getopts m:c:t:o:i:M:e:LK:vTh option; do
    case $option in
    m) mem=$OPTARG ;;
    c) cpus=$OPTARG ;;
    t) limit=$OPTARG ;;
    o) out=$(realpath "$OPTARG") ;;
    i) image=$(realpath "$OPTARG") ;;
    M) machine=$OPTARG ;;
    e) variables+=("$OPTARG") ;;
    L) extra=1 ;;
    K) kernel=$OPTARG ;;
    v) verbose=1 ;;
    T) times=1 ;;
    h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -lt 3 ] || [ "$2" != -- ]; then
    usage >&2
    exit 64
fi
source=$1
shift 2

# --- what it needs, all of it named at once
missing=()
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || missing+=("$2")
}
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need gzip gzip
need timeout coreutils
virtiofsd=''
for candidate in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do # bookworm; trixie
    if [ -x "$candidate" ]; then
        virtiofsd=$candidate
        break
    fi
done
[ -n "$virtiofsd" ] || missing+=("qemu-system-common (or virtiofsd on Debian 13)")
if [ -z "$kernel" ]; then
    kernel=$(find /boot -maxdepth 1 -name 'vmlinuz-*-cloud-amd64' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$kernel" ] || missing+=("linux-image-cloud-amd64")
fi
if [ ${#missing[@]} -gt 0 ]; then
    printf -v list '%s, ' "${missing[@]}"
    die 69 "packages are missing: ${list%, }. Install them with apt-get install"
fi
[ -r "$kernel" ] || die 66 "cannot read the kernel $kernel"
[ "$source" = - ] || [ -e "$source" ] || die 66 "$source does not exist"
release=${kernel#*/vmlinuz-}
modules=/lib/modules/$release
[ -r "$modules/modules.dep" ] || die 66 "$modules has no modules.dep: the modules of this kernel are not installed"

now() { date +%s.%N; }
seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", b - a }'; }
started=$(now)
lab=$(mktemp -d "${TMPDIR:-/tmp}/kvm-lab.XXXXXX")
pids=()
# shellcheck disable=SC2317 # called by the trap
cleanup() {
    local status=$? pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$lab"
    exit "$status"
}
trap cleanup EXIT

# --- the initial file system: modules in dependency order, and the script that puts the root together
wanted="irqbypass kvm kvm-amd virtio virtio_ring virtio_mmio virtio_pci virtio_blk virtio_console virtio_rng fuse virtiofs overlay"
[ -z "$image" ] || wanted="$wanted erofs squashfs"
[ -z "$extra" ] || wanted="$wanted tun tap veth bridge loop nf_tables nft_chain_nat nft_ct nft_masq nft_reject_inet vsock vhost \
vhost_vsock vhost_net virtio_net erofs squashfs ext4 dm_mod vsock_loopback"
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kvm-lab
mkdir -p "$cache"
key=$(echo "$release $wanted $(stat -c %Y "$0" "$modules/modules.dep" | tr '\n' ' ')" | sha256sum | cut -c1-16)
initrd=$cache/$key.cpio.gz

declare -A seen=()
order=()
add_module() {
    local name=${1//-/_} line path dependency file
    [ -z "${seen[$name]:-}" ] || return 0
    seen[$name]=1
    line=$(grep -E "/${name//_/[-_]}\.ko(\.xz|\.zst)?:" "$modules/modules.dep" || true)
    [ -n "$line" ] || return 0 # built in, or not of this kernel
    for dependency in ${line#*:}; do
        dependency=${dependency##*/}
        add_module "${dependency%%.ko*}"
    done
    path=${line%%:*}
    file=${path##*/}
    cp "$modules/$path" "$tree/m/"
    case $file in
    *.xz) xz -d "$tree/m/$file" ;;
    *.zst) zstd -q -d --rm "$tree/m/$file" ;;
    esac
    order+=("${file%.ko*}.ko")
}

make_initrd() {
    tree=$lab/initrd
    mkdir -p "$tree"/{bin,dev,proc,sys,m,lower,up,new}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    local module
    for module in $wanted; do add_module "$module"; done
    printf '%s\n' "${order[@]}" >"$tree/m/order"
    cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in $($B cat /m/order); do $B insmod /m/$m 2>/dev/null || echo "lab: insmod $m failed" >/dev/kmsg; done
for a in $($B cat /proc/cmdline); do case $a in lab.*) eval "${a#lab.}";; esac; done
if [ -n "$image" ]; then
  for fs in erofs squashfs ext4; do $B mount -o ro -t $fs /dev/vda /lower 2>/dev/null && break; done
else $B mount -t virtiofs -o ro root /lower; fi
$B mount -t tmpfs -o size=90% tmpfs /up; $B mkdir -p /up/u /up/w
$B mount -t overlay -o lowerdir=/lower,upperdir=/up/u,workdir=/up/w,xino=off overlay /new || echo "lab: overlay failed" >/dev/kmsg
N=/new
for d in proc sys dev run tmp tree out; do $B mkdir -p $N/$d; done
$B mount -t proc proc $N/proc; $B mount -t sysfs sys $N/sys; $B mount -t devtmpfs dev $N/dev
$B mkdir -p $N/dev/pts $N/dev/shm; $B mount -t devpts -o ptmxmode=666 devpts $N/dev/pts
for d in run tmp dev/shm; do $B mount -t tmpfs -o mode=1777 tmpfs $N/$d; done
$B mount -t cgroup2 cgroup2 $N/sys/fs/cgroup; $B mount -t securityfs securityfs $N/sys/kernel/security
[ -e $N/dev/fd ] || $B ln -s /proc/self/fd $N/dev/fd
$B chmod 666 $N/dev/kvm
$B ifconfig lo 127.0.0.1 up 2>/dev/null; $B hostname kvm-lab
$B mkdir -p /ctl /w; $B mount -t virtiofs ctl /ctl
case $tree in
 dir) $B mount -t virtiofs -o ro tree /w; $B mkdir -p /up/wu /up/ww
      $B mount -t overlay -o lowerdir=/w,upperdir=/up/wu,workdir=/up/ww overlay $N/tree;;
 tar) $B tar -xf /ctl/tree.tar -C $N/tree;;
esac
[ -n "$out" ] && $B mount -t virtiofs out $N/out
p=/dev/console; for i in 1 2 3 4 5 6 7 8 9 10; do for q in /dev/vport*p*; do [ -e $q ] && p=$q && break 2; done; $B usleep 50000; done
$B mkdir -p $N/run/lab/ctl; $B cp /bin/busybox $N/run/lab/busybox; $B mount --move /ctl $N/run/lab/ctl
$B cat > $N/run/lab/init <<'X'
#!/run/lab/busybox sh
B=/run/lab/busybox; p=$1
$B cut -d' ' -f1 /proc/uptime > /run/lab/ctl/up
$B mkfifo /run/lab/o; $B cat /run/lab/o >$p & c=$!
$B setsid /bin/bash /run/lab/ctl/cmd </dev/null >/run/lab/o 2>&1; rc=$?; i=0; while $B kill -0 $c 2>/dev/null && [ $i -lt 20 ]; do $B usleep 50000; i=$((i+1)); done
$B cut -d' ' -f1 /proc/uptime > /run/lab/ctl/down
echo $rc > /run/lab/ctl/rc; $B sync
$B poweroff -f
X
$B chmod 755 $N/run/lab/init
$B umount /proc /sys
exec $B switch_root $N /run/lab/init $p
INIT
    chmod 755 "$tree/init"
    (cd "$tree" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$initrd.$$"
    mv "$initrd.$$" "$initrd"
}
[ -e "$initrd" ] || make_initrd

# --- the control share: the command goes in, its status comes out
mkdir "$lab/ctl"
{
    for variable in "${variables[@]}"; do printf 'export %q\n' "$variable"; done
    echo 'export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb; cd /tree'
    printf '%q ' "$@"
    echo
} >"$lab/ctl/cmd"

kind=none
number=0
tags=()
devices=()
suffix=pci
[ "$machine" != microvm ] || suffix=device
share() { # TAG DIR CACHE
    local options=(--shared-dir "$2" --cache "$3" --sandbox chroot)
    [[ $virtiofsd != */qemu/* ]] || options=(-o "source=$2" -o "cache=$3" -o sandbox=chroot)
    "$virtiofsd" --socket-path="$lab/$1.sock" "${options[@]}" >"$lab/$1.log" 2>&1 &
    pids+=($!)
    tags+=("$1")
    number=$((number + 1))
    devices+=(-chardev "socket,id=$1,path=$lab/$1.sock" -device "vhost-user-fs-$suffix,chardev=$1,tag=$1,queue-size=512")
}
if [ -z "$image" ]; then
    share root / always
else
    devices+=(-drive "if=none,id=img,format=raw,readonly=on,file=$image" -device "virtio-blk-$suffix,drive=img")
fi
share ctl "$lab/ctl" none
if [ -d "$source" ]; then
    kind=dir
    share tree "$(realpath "$source")" always
elif [ "$source" != - ]; then
    kind=tar
    cp "$source" "$lab/ctl/tree.tar"
fi
[ -z "$out" ] || share out "$out" auto
for tag in "${tags[@]}"; do
    for _ in $(seq 100); do
        [ ! -S "$lab/$tag.sock" ] || break
        sleep .02
    done
    [ -S "$lab/$tag.sock" ] || die 125 "virtiofsd for $tag did not start: $(cat "$lab/$tag.log")"
done

case $machine in
microvm) machine_options=(-M 'microvm,rtc=on,pit=on,pic=on,acpi=on,memory-backend=mem' -device virtio-serial-device
    -device 'virtserialport,chardev=con,name=lab' -device virtio-rng-device) ;;
q35) machine_options=(-M 'q35,memory-backend=mem' -device virtio-serial-pci -device 'virtserialport,chardev=con,name=lab'
    -device virtio-rng-pci) ;;
*) die 64 "unknown machine $machine: q35 or microvm" ;;
esac
mkfifo "$lab/outp"
cat "$lab/outp" &
reader=$!
exec 9>"$lab/outp" # held open, so that the reader outlives a failed start of qemu
booted=$(now)
status=0
timeout --foreground -k 5 "$limit" qemu-system-x86_64 "${machine_options[@]}" \
    -accel "${LAB_ACCEL:-tcg,thread=single,tb-size=1024}" -cpu max,+svm,+npt \
    -smp "$cpus" -m "$mem" -object "memory-backend-memfd,id=mem,size=${mem}M,share=on" \
    -global virtio-mmio.force-legacy=false -nodefaults -no-user-config -no-reboot -display none -serial "file:$lab/console" \
    -chardev "file,id=con,path=$lab/outp" "${devices[@]}" -kernel "$kernel" -initrd "$initrd" \
    -append "console=ttyS0 quiet loglevel=4 reboot=t panic=-1 ${LAB_APPEND-mitigations=off nokaslr random.trust_cpu=on tsc=reliable no_timer_check} lab.image=$image lab.tree=$kind lab.out=$out" \
    </dev/null 9>&- || status=$?
exec 9>&-
wait "$reader" || true
ended=$(now)

if [ -n "$verbose" ]; then
    echo "--- console" >&2
    cat "$lab/console" >&2
fi
if [ -n "$times" ]; then
    echo "kvm-lab: prepare $(seconds "$started" "$booted") s, qemu $(seconds "$booted" "$ended") s, command from" \
        "$(cat "$lab/ctl/up" 2>/dev/null) to $(cat "$lab/ctl/down" 2>/dev/null) s of the machine's uptime" >&2
fi
if [ -s "$lab/ctl/rc" ]; then exit "$(cat "$lab/ctl/rc")"; fi
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then die 124 "the time limit of $limit s passed"; fi
echo "kvm-lab: the machine ended without a result (qemu $status); console:" >&2
tail -n 30 "$lab/console" >&2 || true
exit 125
