#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh: from a fresh Debian 12 with git and make to a Python program in a sandbox. Idempotent; what it starts, it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
fb=$(realpath -m "$build")/src/firebreak/firebreak
state=/var/lib/firebreak # where templates are kept for later
started=$SECONDS
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi

step() { printf '%s==> %s%s\n' "$bold" "$1" "$plain"; }
stop() {
    echo "quickstart: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || stop 'needs root (sandboxes are built with namespaces, cgroups and mounts): sudo make quickstart'

step 'packages'
tools/install-deps.sh

step 'build'
make --no-print-directory BUILD="$build" build | tail -n 1

step 'template'
[ -s "$state/templates/base.json" ] || "$fb" template build
"$fb" template ls --state "$state"

step 'start'
work=$(mktemp -d)
up=''
finish() {
    local rc=$?
    trap '' INT TERM
    if [ -n "$up" ]; then
        kill "$up" 2>/dev/null || true
        wait "$up" 2>/dev/null || true
    fi
    [ $rc -eq 0 ] || [ ! -s "$work/log" ] || sed 's/^/  | /' "$work/log" >&2
    rm -rf "$work"
    exit $rc
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# A state of its own, so that nothing of an instance that is in use is touched; the images are hard links.
chmod 0755 "$work"
mkdir -m 0755 "$work/state" "$work/state/templates"
cp -l "$state"/templates/*.erofs "$state"/templates/*.json "$work/state/templates/" 2>/dev/null ||
    cp "$state"/templates/*.erofs "$state"/templates/*.json "$work/state/templates/"
export FIREBREAK_INSTANCE=quickstart FIREBREAK_STATE=$work/state FIREBREAK_RUN=$work/run
unset E2B_API_KEY E2B_API_URL E2B_SANDBOX_URL E2B_DOMAIN
"$fb" up --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
up=$!
for _ in $(seq 300); do
    [ ! -s "$work/run/api.url" ] || break
    kill -0 "$up" 2>/dev/null || stop 'firebreak up ended early; its log:'
    sleep 0.1
done
[ -s "$work/run/api.url" ] || stop 'firebreak up does not get ready; its log:'
grep -h -E '^(warden|e2b-sandbox) +ready' "$work/log"

step 'run a Python program in a sandbox'
cat >"$work/hello.py" <<'END'
import getpass, os, platform
print(f"Hello from a sandbox: Python {platform.python_version()}, process {os.getpid()}, user {getpass.getuser()}.")
print("6 * 7 =", 6 * 7)
END
"$fb" run --json "$work/hello.py" >"$work/result.json" || stop 'the program failed; the log of the services:'
python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["stdout"], end="")' "$work/result.json"

step 'how that sandbox was isolated'
python3 - "$work/result.json" <<'END'
import json, sys

def show(name, value, depth):
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        print(pad + name)
        for k, v in value.items():
            show(k, v, depth + 1)
    elif isinstance(value, list):
        print(f"{pad}{name}: " + ", ".join(map(str, value)))
    else:
        print(f"{pad}{name}: {str(value).lower() if isinstance(value, bool) else value}")

result = json.load(open(sys.argv[1], encoding="utf-8"))
for k, v in (result["isolation"] or {"report": "the API gave none"}).items():
    show(k, v, 0)
print(f"  (sandbox {result['sandbox_id']}, now gone; the program took {result['duration_ms']} ms)")
END

printf '\n%sIt works%s (%d s). Now start an instance that stays, and use any E2B SDK with it:\n' "$bold" "$plain" $((SECONDS - started))
cat <<END
  $fb up
  export E2B_API_URL=http://127.0.0.1:7070 E2B_SANDBOX_URL=http://127.0.0.1:7070 E2B_API_KEY=\$(cat $state/api.key)   # in a second terminal
  npm install e2b && node -e "require('e2b').Sandbox.create().then(async s => { console.log((await s.commands.run('echo hi')).stdout); await s.kill() })"
END
