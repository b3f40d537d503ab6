#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/reference/faults.md: a row for each fault and each bug of old; each row is true.

A row is | F7 what goes wrong | `suite.test`, `compile_fail.case` | note |, or | B7 ... of a bug. Where
we have no test, the middle is "-" and the note says why. A test whose name begins with f7_ belongs to
the row of F7.
"""

import re

import guard

TABLE = "docs/reference/faults.md"
LAST = {"F": 85, "B": 7}
ROW = re.compile(r"^\| *([FB]\d+) ([^|]+)\|([^|]*)\|([^|]*)\|", re.MULTILINE)


def main():
    root = guard.arguments(__doc__).root
    if not (root / TABLE).exists():
        guard.report([f"{TABLE}: missing: it has a row for each of F1 to F{LAST['F']}"], "")
    text = (root / TABLE).read_text()
    tests = guard.tests(root)
    cases = {f"compile_fail.{p.stem}" for p in guard.sources(root, "tests/compile_fail")}

    problems, rows = [], {}
    for row in ROW.finditer(text):
        number = row[1]
        where = f"{TABLE}:{guard.line_of(text, row.start())}: {number}"
        ours = re.findall(r"`([^`]+)`", row[3])
        if number in rows:
            problems.append(f"{where}: a second row for this fault")
        problems += [f"{where}: there is no test {name}" for name in ours
                     if name not in tests | cases]
        if not ours and len(row[4].split()) < 3:
            problems.append(f"{where}: without a test the note must say why")
        rows[number] = ours
    wanted = [f"{kind}{n}" for kind, last in LAST.items() for n in range(1, last + 1)]
    problems += [f"{TABLE}: no row for {number}" for number in wanted if number not in rows]
    for name in sorted(tests):
        fault = re.search(r"\.f(\d+)_", name)
        if fault and name not in rows.get(f"F{fault[1]}", [name]):
            problems.append(f"{TABLE}: the row of F{fault[1]} does not name {name}")
    proven = sum(1 for ours in rows.values() if ours)
    guard.report(problems, f"{proven} of {len(wanted)} faults and bugs have a test")


if __name__ == "__main__":
    main()
