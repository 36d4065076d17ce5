# SPDX-License-Identifier: Apache-2.0
"""docs/security-catalogue.md and tests/security say the same. catalogue_lists_every_attack.py TREE: exit status 1 and a line for each difference."""
import pathlib
import re
import sys

# All rows there are: the page may neither forget one nor invent one.
ROWS = {
    "F": "01 02 04 05 07 09 10 12 13 14 15 16",
    "K": "01 02 03 04 06 07 08 09 10 12 13 14 15 16 17 18 19 20",
    "N": "01 02 03 05 06 07 08 10 11 12 13 14 15 16",
    "W": "01 02 03 04 05 06 09 10 11 12 14 15 17 18",
    "R": "01 02 03 04 05 06 07 09 10 11 12 13 14 16 17 18 19 20 21 22",
    "L": "01 03 04 05 07 08 09 10 11 12",
    "S": "01 02 03 05 06 07 08 09 10 11 12",
}


def check(tree):
    """Returns what is wrong, as lines."""
    wrong = []
    known = {letter + number for letter, numbers in ROWS.items() for number in numbers.split()}
    suite = tree / "tests/security"
    files = {p.name for p in suite.iterdir() if p.suffix in (".c", ".mjs") and p.name != "probes.mjs"}
    listed = {}  # row -> names; "" is the table of attacks that are in no row
    for line in (tree / "docs/security-catalogue.md").read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if len(cells) < 2 or set(cells[0]) <= {"-"} or cells[0] in ("id", "attack"):
            continue
        row = cells[0] if len(cells) == 3 else ""
        if row and row in listed:
            wrong.append(f"{row} is listed twice")
        names = re.findall(r"`([\w./]+\.(?:c|mjs))`", cells[-1])
        listed.setdefault(row, []).extend(names)
        if not names and not re.match(r"waits for: \S|not applicable: \S", cells[-1]):
            wrong.append(f"{row or cells[0]} names no test and no reason")
        for name in names:
            if not (tree / name if "/" in name else suite / name).is_file():
                wrong.append(f"{row or cells[0]} names {name}, which is not there")
    wrong += [f"{row} is not listed" for row in sorted(known - listed.keys())]
    wrong += [f"{row} is no row" for row in sorted(listed.keys() - known - {""})]
    for name in sorted(files):
        rows = {row for row, names in listed.items() if name in names}
        own = set(re.match(r"((?:[A-Z]\d\d_)*)", name)[1].rstrip("_").split("_")) - {""} or {""}
        # A row may point to a file of another one as well; the rows in a file's name must all name it.
        wrong += [f"{name} is not listed under {row or 'the attacks beyond the rows'}" for row in sorted(own - rows)]
    return wrong, len(files)


def main():
    wrong, n = check(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong + [f"{n} files, {len(wrong)} wrong"]))
    return 1 if wrong or n == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
