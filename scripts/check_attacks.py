#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Hold the table of tests/hostile/README.md to the tests.

Every id has a row, a row names tests or gives a reason, each test that it names exists, and each
attack of tests/hostile whose name begins with an id stands in a row.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "tests/hostile/README.md"

# A gap or a regression by number; the others are what the table's first column says.
NUMBERED = [f"G{n}" for n in range(1, 11)] + [f"R{n:02}" for n in range(1, 83)]
CVES = 36  # rows that begin with a CVE id, at least
ID = re.compile(r"(?:cve_\d{4}_\d+|[gr]\d\d)_")


def rows():
    """The id and the text of each row."""
    for line in README.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 2 and cells[0] not in ("id", "---") and not cells[0].startswith("**"):
            yield cells[0], cells[1]


def functions():
    """The names of all tests, and of the attacks among them."""
    tests, attacks = set(), set()
    for path in sorted((ROOT / "tests").glob("*/*.c")):
        names = re.findall(r"^static void (\w+)\(", path.read_text(), re.M)
        tests.update(names)
        if path.parent.name == "hostile":
            attacks.update(re.findall(r"ATTACK\w*\(\s*(\w+)\)", path.read_text()))
    return tests, attacks & tests


def main():
    wrong = []
    tests, attacks = functions()
    table = list(rows())
    ids = [name for name, _ in table]
    named = {test for _, text in table for test in re.findall(r"`(\w+)`", text)}

    wrong += [f"{name} has no row" for name in NUMBERED if ids.count(name) != 1]
    if sum(name.startswith("CVE-") for name in ids) < CVES:
        wrong.append(f"fewer than {CVES} rows of CVE ids")
    for name, text in table:
        if not text:
            wrong.append(f"{name}: neither a test nor a reason")
        for test in re.findall(r"`([a-z]\w+)`", text):
            if "_" in test and test not in tests | {"vq_load", "vq_store"}:
                wrong.append(f"{name}: there is no test {test}")
    wrong += [f"{name} stands in no row" for name in sorted(attacks - named) if ID.match(name)]
    for line in wrong:
        print(f"tests/hostile/README.md: {line}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
