#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/reference/python-parity.md: a row for each test of CPython, and each row is true.

A row is | `file.py::test_name` | `suite.test`, `suite.test` | note |. Where we have no test of our
own, the middle is "-" and the note says why, or when.
"""

import re

import guard

TABLE = "docs/reference/python-parity.md"
ROW = re.compile(r"^\| *`(\w+\.py::[^`]+)` *\|([^|]*)\|([^|]*)\|", re.MULTILINE)


def main():
    root = guard.arguments(__doc__).root
    listed = (root / "tools/cpython_tests.txt").read_text().splitlines()
    wanted = [line for line in listed if line and not line.startswith("#")]
    if not (root / TABLE).exists():
        guard.report([f"{TABLE}: missing: it has a row per line of tools/cpython_tests.txt"], "")
    text = (root / TABLE).read_text()
    tests = guard.tests(root)

    problems, rows = [], {}
    for row in ROW.finditer(text):
        where = f"{TABLE}:{guard.line_of(text, row.start())}: {row[1]}"
        ours = re.findall(r"`([^`]+)`", row[2])
        if row[1] in rows:
            problems.append(f"{where}: a second row for this test")
        if row[1] not in wanted:
            problems.append(f"{where}: not in tools/cpython_tests.txt")
        problems += [f"{where}: there is no test {name}" for name in ours if name not in tests]
        if not ours and len(row[3].split()) < 3:
            problems.append(f"{where}: without a test of ours the note must say why")
        rows[row[1]] = ours
    problems += [f"{TABLE}: no row for {name}" for name in wanted if name not in rows]
    proven = sum(1 for ours in rows.values() if ours)
    guard.report(problems, f"{proven} of {len(wanted)} tests of CPython have one of ours")


if __name__ == "__main__":
    main()
