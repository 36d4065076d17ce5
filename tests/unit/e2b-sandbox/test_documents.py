# SPDX-License-Identifier: Apache-2.0
"""api/openapi.yaml names exactly the routes that are served, events.txt exactly the events that are logged. Usage: test_documents.py ROOT"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
source = root / "src/e2b-sandbox"
failed = 0


def claim(number, name, only_one_side):
    global failed
    failed += bool(only_one_side)
    print(f"{'not ok' if only_one_side else 'ok'} {number} - {name}")
    for x in sorted(only_one_side):
        print("#", *x)


def served():
    rows = re.findall(r'\{\s*"([A-Z]+)",\s*"([^"]+)",\s*\w+,\s*\w+,\s*(\w+)\s*\}', (source / "routes.c").read_text())
    return {(method, path) for method, path, handler in rows if handler != "route_not_yet"}


def documented():
    paths = (root / "api/openapi.yaml").read_text().split("\npaths:\n")[1].split("\ncomponents:\n")[0]
    found, path = set(), ""
    for line in paths.splitlines():
        if m := re.fullmatch(r"  (/\S*):", line):
            path = re.sub(r"\{[^}]*\}", "{}", m[1])
        elif m := re.fullmatch(r"    (get|put|post|delete|patch|head|options):", line):
            found.add((m[1].upper(), path))
    return found


def operators_served():
    rows = re.findall(r'\{\s*"([A-Z]+)",\s*"([^"]+)",\s*\w+,\s*(\w+),\s*\w+\s*\}', (source / "routes.c").read_text())
    return {(method, path) for method, path, need in rows if need == "ADMIN"}


def operators_documented():
    paths = (root / "api/openapi.yaml").read_text().split("\npaths:\n")[1].split("\ncomponents:\n")[0]
    found, path, method = set(), "", ""
    for line in paths.splitlines():
        if m := re.fullmatch(r"  (/\S*):", line):
            path = re.sub(r"\{[^}]*\}", "{}", m[1])
        elif m := re.fullmatch(r"    (get|put|post|delete|patch|head|options):", line):
            method = m[1].upper()
        elif line == "      x-capability: admin":
            found.add((method, path))
    return found


def logged():
    text = "".join(p.read_text() for p in sorted(source.glob("*.c")))
    fixed = {(level, event) for level, event in re.findall(r'\blog_(error|warn|info|debug)\(\s*"([a-z_]+)"', text)}
    # The level of some depends on what happened: the list names both.
    return fixed | {("info|warn", event) for event in re.findall(r'\blog_event\([^"]*"([a-z_]+)"', text)}


def listed():
    return {(m[2], m[1]) for m in re.finditer(r"^([a-z_]+): ([\w|]+);", (source / "events.txt").read_text(), re.M)}


assert len(served()) > 10 and len(logged()) > 10, "the sources are not written as this test reads them"
print("1..3")
claim(1, "the_api_description_names_exactly_what_is_served", served() ^ documented())
claim(2, "the_list_of_events_is_exactly_what_is_logged", logged() ^ listed())
claim(3, "the_api_description_says_admin_where_it_is_needed", operators_served() ^ operators_documented())
sys.exit(failed > 0)
