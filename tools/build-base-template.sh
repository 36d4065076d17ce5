#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds a sandbox template (a read-only erofs image and its metadata) from Debian packages.
#
#   build-base-template.sh [--state DIR] [--name NAME] [--package PACKAGE]... [--mirror URL] [--suite CODENAME] [--force]
#
# The packages come from the host's own apt sources, with the host's apt settings for fetching (proxies and the like);
# --mirror uses one other mirror instead. The image is published last and by rename, so a failure at any step leaves the
# previous template as it was. The same inputs are not built twice: they are hashed into STATE/templates/.NAME.inputs.
set -euo pipefail
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset CDPATH GREP_OPTIONS

readonly STEPS=5
# What people who know an E2B sandbox expect to find. `apt-get install` in the sandbox gives the rest where egress is allowed.
packages=(bash ca-certificates coreutils curl file git iproute2 jq less libnss-myhostname lsof make nano netcat-openbsd nodejs
    openssh-client procps python3 python3-pip python3-venv ripgrep sudo unzip vim-tiny wget xz-utils zip)

die() { # MESSAGE [WHAT TO DO]
    clear_line
    printf 'firebreak: template: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
    exit 1
}

usage() {
    cat <<'END'
Usage: firebreak template build [--name NAME] [--package PACKAGE]... [--state DIR] [--mirror URL] [--suite CODENAME] [--force]

Builds the template NAME (default: base) from Debian packages and puts it into DIR/templates.
  --package PACKAGE a Debian package to install besides the usual ones (repeat it for more)
  --state DIR       state directory (default: $FIREBREAK_STATE or /var/lib/firebreak)
  --mirror URL      take packages from this mirror instead of the host's apt sources
  --suite CODENAME  release to install (default: the host's own)
  --force           build even if nothing changed since the last build
END
}

# --- options ---
state=${FIREBREAK_STATE:-/var/lib/firebreak}
name=base
mirror=
suite=
force=
while [ $# -gt 0 ]; do
    case $1 in
    --state | --name | --mirror | --suite)
        [ $# -ge 2 ] || {
            echo "firebreak: template build: $1 needs a value" >&2
            exit 2
        }
        declare "${1#--}=$2"
        shift 2
        ;;
    --package)
        [[ ${2:-} =~ ^[a-z0-9][a-z0-9.+-]*$ ]] || {
            echo "firebreak: template build: --package takes the name of a Debian package, such as python3-numpy, not '${2:-}'" >&2
            exit 2
        }
        packages+=("$2")
        shift 2
        ;;
    --force)
        force=1
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "firebreak: template build: unknown argument '$1' (see: firebreak template build --help)" >&2
        exit 2
        ;;
    esac
done

# --- progress: a bar on a terminal, one line per step elsewhere ---
step=0 label='' tty=
[ ! -t 2 ] || tty=1
start=$SECONDS

clear_line() { [ -z "${tty:-}" ] || printf '\r\033[K' >&2; }

draw() { # PERCENT-OF-STEP DETAIL
    [ -n "$tty" ] || return 0
    local done=$((((step - 1) * 100 + $1) * 30 / (STEPS * 100))) bar t=$((SECONDS - start))
    printf -v bar '%*s' "$done" ''
    printf '\r\033[K[%-30s] %d/%d %s%s  %d:%02d' "${bar// /#}" "$step" "$STEPS" "$label" "${2:+ ($2)}" $((t / 60)) $((t % 60)) >&2
}

next_step() { # LABEL
    step=$((step + 1)) label=$1
    if [ -n "$tty" ]; then draw 0 ''; else printf '[%d/%d] %s\n' "$step" "$STEPS" "$label" >&2; fi
}

# --- what must be there before anything is written ---
[[ $name =~ ^[a-z0-9][a-z0-9_-]{0,62}$ ]] || die "bad template name '$name'" 'use a-z, 0-9, - and _, at most 63 characters'
[ "$(id -u)" = 0 ] || die 'building a template needs root' 'run: sudo firebreak template build'
for tool in mmdebstrap mkfs.erofs apt-config sha256sum flock; do
    command -v "$tool" >/dev/null || die "$tool is not installed" 'run: apt-get install mmdebstrap erofs-utils'
done
if [ -z "$suite" ]; then
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$suite" ] || die 'cannot tell the release of this host' 'name one: --suite bookworm'
fi
[[ $suite =~ ^[a-z][a-z0-9-]*$ ]] || die "bad suite '$suite'"
# Inside: the file names of the host's sources, or one URL.
sources=()
if [ -n "$mirror" ]; then
    [[ $mirror =~ ^[a-z0-9+]+://[^[:space:]]+$ ]] || die "bad mirror '$mirror'" 'give a URL, as in an apt source'
    sources=("$mirror")
else
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ ! -s "$f" ] || sources+=("$f")
    done
    [ ${#sources[@]} -gt 0 ] || die 'this host has no apt source' 'name a mirror: --mirror URL'
fi

next_step "check what changed"
templates=$state/templates
mkdir -p "$state" "$templates"
chmod 0755 "$state" "$templates"
exec 9>"$templates/.lock"
flock -n 9 || die 'another build is running' "it holds $templates/.lock"

inputs=$({
    sha256sum <"$0"
    printf '%s\n' "$suite" "$(dpkg --print-architecture)" "$mirror" "${packages[@]}" "${sources[@]}"
    if [ -z "$mirror" ]; then
        cat "${sources[@]}"
        # What the archive offered at the last apt-get update: new versions there mean a new image.
        find /var/lib/apt/lists -maxdepth 1 -name '*Release' -print0 | sort -z | xargs -0r sha256sum
    fi
} | sha256sum | cut -d' ' -f1)
if [ -z "$force" ] && [ "$(cat "$templates/.$name.inputs" 2>/dev/null)" = "$inputs" ] && [ -s "$templates/$name.json" ]; then
    digest=$(sed -n 's/.*"digest":"\([0-9a-f]\{64\}\)".*/\1/p' "$templates/$name.json")
    if [ -n "$digest" ] && [ -s "$templates/$digest.erofs" ]; then
        clear_line
        echo "template $name is up to date: $digest ($(($(stat -c %s "$templates/$digest.erofs") / 1048576)) MiB)"
        exit 0
    fi
fi

# Only root may look inside: it holds programs with setuid bits until they are taken off.
work=$(mktemp -d "$templates/.build.XXXXXXXX")
child=
cleanup() {
    local rc=$?
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        # All of its process group: mmdebstrap by itself would first wait for the apt that it runs.
        kill -TERM -- "-$child" 2>/dev/null || true
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 -- "-$child" 2>/dev/null || break
            sleep 0.2
        done
        kill -KILL -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$work"
    [ $rc -eq 0 ] || clear_line
    exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

run_logged() { # COMMAND...: in the background, so that a signal ends us at once and progress can be drawn
    set -m
    "$@" </dev/null >"$work/log" 2>&1 9>&- &
    child=$!
    set +m
    while kill -0 "$child" 2>/dev/null; do
        if [ -n "$tty" ]; then
            local new unpacked set_up
            new=$(sed -n 's/^[0-9]* upgraded, \([0-9]*\) newly installed.*/\1/p' "$work/log" | awk '{ n += $1 } END { print n + 0 }')
            unpacked=$(grep -c '^Unpacking ' "$work/log" || true)
            set_up=$(grep -c '^Setting up ' "$work/log" || true)
            if [ "$new" -gt 0 ] && [ "$unpacked" -gt 0 ]; then
                [ "$new" -ge "$set_up" ] || new=$set_up
                draw $(((unpacked + set_up) * 50 / (new > unpacked ? new : unpacked))) "$set_up packages"
            else
                draw 0 ''
            fi
        fi
        sleep 0.5
    done
    local rc=0
    wait "$child" || rc=$?
    child=
    if [ $rc -ne 0 ]; then
        clear_line
        echo "firebreak: template: step $step/$STEPS ($label) failed with exit status $rc; the end of its log:" >&2
        tail -n 25 "$work/log" | sed 's/^/  | /' >&2
        echo "  nothing was changed; look at 'apt-get update' if packages could not be fetched, then run it again" >&2
        exit 1
    fi
}

next_step "install packages ($suite)"
# How this host fetches (proxy, time-outs, date checks) is needed to fetch here as well; it does not stay in the image.
apt-config dump | grep '^Acquire::' >"$work/apt.conf" || true
cat >"$work/setup" <<'END'
#!/bin/sh
set -e
[ ! -f /etc/apt/auth.conf ] || cp -p /etc/apt/auth.conf "$1/etc/apt/"
[ ! -d /etc/apt/auth.conf.d ] || { mkdir -p "$1/etc/apt/auth.conf.d" && cp -p /etc/apt/auth.conf.d/*.conf "$1/etc/apt/auth.conf.d/" 2>/dev/null; } || true
END
chmod 0755 "$work/setup"
root=$work/root
include=$(
    IFS=,
    echo "${packages[*]}"
)
TMPDIR=$work run_logged mmdebstrap --mode=root --format=directory --variant=minbase --verbose --include="$include" \
    --aptopt="$work/apt.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-include=/usr/share/locale/locale.alias' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' --setup-hook="$work/setup" "$suite" "$root" "${sources[@]}"

next_step "add the user, trim"
shape() {
    set -e
    # The newest thing that Debian packed: one date for every file, the same in every build from the same packages.
    find "$root/usr/share/doc" -name copyright -type f -printf '%T@\n' | sort -n | tail -n 1 | cut -d. -f1 >"$work/epoch"

    SOURCE_DATE_EPOCH=$(cat "$work/epoch")
    export SOURCE_DATE_EPOCH
    chroot "$root" useradd --create-home --uid 1000 --user-group --shell /bin/bash --groups sudo user
    chroot "$root" passwd -d user
    chroot "$root" passwd -d root
    printf 'user ALL=(ALL:ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/user"
    chmod 0440 "$root/etc/sudoers.d/user"

    # bash -l reads /etc/profile first. PATH is kept as it comes, since a caller may have set it; HOME files are read by every
    # login shell, so that what a program appends to ~/.bashrc holds for the next command.
    cat >"$root/etc/profile" <<'END'
: "${PATH:=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export PATH
export SHELL=/bin/bash LANG="${LANG:-C.UTF-8}"
export PS1='\w \$ '
for i in /etc/profile.d/*.sh; do
    [ ! -r "$i" ] || . "$i"
done
unset i
[ ! -r ~/.bashrc ] || . ~/.bashrc
[ ! -r ~/.profile ] || . ~/.profile
END
    local bashrc profile home
    # shellcheck disable=SC2016 # the text is for the shell inside
    bashrc='PS1='\''\w \$ '\''
case $- in
*i*)
    HISTCONTROL=ignoreboth
    shopt -s histappend checkwinsize
    alias ls='\''ls --color=auto'\'' grep='\''grep --color=auto'\'' ll='\''ls -l'\''
    ;;
esac'
    # shellcheck disable=SC2016
    profile='for d in ~/bin ~/.local/bin; do
    [ ! -d "$d" ] || case ":$PATH:" in *":$d:"*) ;; *) PATH=$d:$PATH ;; esac
done
unset d'
    for home in etc/skel root home/user; do
        printf '%s\n' "$bashrc" >"$root/$home/.bashrc"
        printf '%s\n' "$profile" >"$root/$home/.profile"
    done
    chroot "$root" chown -R user:user /home/user
    # Packages that a program installs for itself (pip, make install) go here without sudo.
    chroot "$root" chown -R user:user /usr/local
    # The sandbox is the isolation: pip may install beside Debian's packages.
    rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
    printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"

    : >"$root/etc/resolv.conf"
    : >"$root/etc/machine-id"
    rm -f "$root/var/lib/dbus/machine-id"
    echo sandbox >"$root/etc/hostname"
    chmod 0644 "$root/etc/hostname"
    printf '127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"

    # Nothing of how this host fetches stays: not its credentials, not its settings, not a password in a source.
    rm -rf "$root/etc/apt/auth.conf" "$root/etc/apt/auth.conf.d"
    mkdir -m 0755 "$root/etc/apt/auth.conf.d"
    printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/99mmdebstrap"
    find "$root/etc/apt" \( -name '*.list' -o -name '*.sources' \) -type f -exec sed -i -E 's#(://)[^/@[:space:]]+@#\1#' {} +

    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
        "$root"/var/cache/ldconfig/* "$root"/var/cache/man "$root"/tmp/* "$root"/var/tmp/* "$root"/run/* "$root"/etc/*- "$root"/root/.gnupg
    find "$root/var/log" -type f -delete
    # The mount points, and only them; no device is reachable through an image.
    for d in proc sys dev run; do
        rm -rf --one-file-system "${root:?}/$d"
        mkdir -m 0755 "$root/$d"
    done
    find "$root" -xdev \( -type b -o -type c -o -type p -o -type s \) -delete
    chmod 1777 "$root/tmp" "$root/var/tmp"
    # No program gains rights by being run: sudo is served by the agent inside the sandbox.
    find "$root" -xdev -type f -perm /6000 -exec chmod a-s {} +
    [ -f "$root/usr/bin/sudo" ]
    # All files get one date below, which would make Python think its compiled modules stale: compile them so that no date counts.
    find "$root/usr/lib" -name __pycache__ -type d -prune -exec rm -rf {} +
    # Some shipped files are for other versions of Python: what does not compile stays source.
    # shellcheck disable=SC2016 # the shell inside expands it
    chroot "$root" /bin/sh -c 'python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.*' || true
}
run_logged shape

next_step "pack the image"
image=$work/image.erofs
epoch=$(cat "$work/epoch")
[[ $epoch =~ ^[0-9]+$ ]] || epoch=1
# Named after what is installed, not after this build: the same packages give the same image, byte for byte.
installed=$(sha256sum <"$root/var/lib/dpkg/status")
uuid=$(printf '%s-%s-8%s-8%s-%s' "${installed:0:8}" "${installed:8:4}" "${installed:13:3}" "${installed:17:3}" "${installed:20:12}")
# -x-1: no extended attributes, so no file capabilities either.
run_logged mkfs.erofs -zlz4hc -x-1 -T"$epoch" -U"$uuid" --quiet "$image" "$root"

next_step "publish"
digest=$(sha256sum "$image" | cut -d' ' -f1)
bytes=$(stat -c %s "$image")
build_id=$(printf '%s-%s-8%s-8%s-%s' "${digest:0:8}" "${digest:8:4}" "${digest:13:3}" "${digest:17:3}" "${digest:20:12}")
cat >"$work/json" <<END
{"name":"$name","aliases":[],"digest":"$digest","bytes":$bytes,"createdAt":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","cpuCount":2,"memoryMB":2048,"diskSizeMB":1536,"user":"user","workdir":"/home/user","env":{"PATH":"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},"buildID":"$build_id"}
END
printf '%s\n' "$inputs" >"$work/inputs"
sha256sum <"$0" >"$work/recipe"
chmod 0444 "$image"
chmod 0644 "$work/json" "$work/inputs" "$work/recipe"
sync "$image" "$work/json"
mv -f "$image" "$templates/$digest.erofs"
mv -f "$work/json" "$templates/$name.json"
mv -f "$work/inputs" "$templates/.$name.inputs"
mv -f "$work/recipe" "$templates/.$name.recipe"
# Images that no template names any more go a day later: a sandbox that is being created may still be about to open one.
find "$templates" -maxdepth 1 -name '*.erofs' -mmin +1440 -printf '%f\n' | while IFS= read -r f; do
    grep -qsF "\"digest\":\"${f%.erofs}\"" "$templates"/*.json || rm -f "$templates/$f"
done
clear_line
echo "template $name: $digest ($((bytes / 1048576)) MiB, $((SECONDS - start)) s)"
