#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# health.sh: does the API answer? Probes E2B_API_URL/health, by default of an instance on this machine.
set -euo pipefail
url=${E2B_API_URL:-http://127.0.0.1:7070}
if [[ ! $url =~ ^http://(\[[0-9a-fA-F:]+\]|[^:/]+)(:([0-9]+))?(/.*)?$ ]]; then
    echo "e2b-health: E2B_API_URL must look like http://HOST:PORT, not '$url'" >&2
    exit 2
fi
host=${BASH_REMATCH[1]//[\[\]]/} port=${BASH_REMATCH[3]:-80} prefix=${BASH_REMATCH[4]%/}
if ! { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null; then
    echo "e2b-health: nothing listens on $host port $port; start it with: firebreak up" >&2
    exit 1
fi
printf 'GET %s/health HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$prefix" "$host" "$port" >&3
if IFS=' ' read -r -t 5 _ status _ <&3 && [ "$status" = 204 ]; then
    echo "e2b-health: $url is healthy"
else
    echo "e2b-health: $url answers '${status:-nothing}' instead of 204" >&2
    exit 1
fi
