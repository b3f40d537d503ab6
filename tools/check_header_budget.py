#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that including a public header costs no more than header_budget.txt allows."""

import os
import subprocess

import guard


COMPILER = os.environ.get("CXX", "g++")


def is_measured_with_this_compiler():
    """Each release of a standard library has headers of another size."""
    version = subprocess.run([COMPILER, "-dumpversion"], capture_output=True, text=True, check=True)
    return version.stdout.split(".")[0].strip() == "12"


def preprocessed_lines(root, header):
    command = [COMPILER, "-std=c++20", "-E", "-P", "-x", "c++", "-"]
    output = subprocess.run(
        [*command, f"-I{root}/include"], input=f"#include <{header}>\n", text=True,
        capture_output=True, check=True,
    ).stdout
    return sum(1 for line in output.splitlines() if line.strip())


def main():
    root = guard.arguments(__doc__).root
    if not is_measured_with_this_compiler():
        guard.skip(f"the budget is that of g++ 12, and this is another {COMPILER}")
    lines = (root / "tools/header_budget.txt").read_text().splitlines()
    budget = [line.split() for line in lines if line and not line.startswith("#")]
    problems, costs = [], []
    for limit, header in budget:
        if not (root / "include" / header).exists():
            problems.append(f"tools/header_budget.txt: no such header: {header}")
            continue
        cost = preprocessed_lines(root, header)
        costs.append(f"{header} {cost:,} of {int(limit):,}")
        if cost > int(limit):
            problems.append(f"include/{header}: {cost:,} preprocessed lines, allowed are "
                            f"{int(limit):,}: include less, or forward-declare")
    guard.report(problems, "; ".join(costs))


if __name__ == "__main__":
    main()
