#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fail if an #include crosses the architecture (tools/layers.txt), or a private header leaks.

A directory below lib/ or src/ is a layer. An include names the layer, "base/buf.h"; a header *_priv.h is
visible inside its own layer only. Usage: check-layers.py [ROOT]; ROOT is the tree to look at."""
import pathlib
import re
import sys

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def read_rules(text):
    """{layer: layers it may include}; a layer may use only what is listed above it, so there are no cycles."""
    allowed = {}
    for line in text.splitlines():
        name, colon, deps = line.partition("#")[0].partition(":")
        if not colon:
            continue
        name = name.strip()
        allowed[name] = {name, *deps.split()}
        missing = allowed[name] - allowed.keys()
        if missing:
            raise SystemExit(f"tools/layers.txt: {name}: {', '.join(sorted(missing))} must be listed above it")
    return allowed


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    allowed = read_rules((root / "tools/layers.txt").read_text())
    found = []
    files = 0
    for path in sorted(p for top in ("lib", "src") for p in (root / top).rglob("*.[ch]")):
        name = path.relative_to(root)
        layer = name.parts[1]
        files += 1
        if layer not in allowed:
            found.append(f"{name}: {layer} is not in tools/layers.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match[1]
            owner = target.partition("/")[0]
            if "/" not in target:
                found.append(f'{name}:{number}: write the layer in the include: "{layer}/{target}"')
            elif owner not in allowed[layer]:
                found.append(f"{name}:{number}: {layer} may not include {target}")
            elif target.endswith("_priv.h") and owner != layer:
                found.append(f"{name}:{number}: {target} is private to {owner}")
    print("\n".join(found) if found else f"{files} files keep the layers")
    return 1 if found or not files else 0


sys.exit(main())
