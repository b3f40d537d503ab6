#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every exception of errors.hpp crosses between processes: known_exceptions.cpp has it."""

import re

import guard

DECLARED = "include/cadre/errors.hpp"
KNOWN = "src/process/known_exceptions.cpp"
CLASS = re.compile(r"^class \w+ (\w+) : public (?:\w+_)?(?:error|broken_promise|std::runtime_error)\b",
                   re.MULTILINE)
LIST = re.compile(r"using known_types\s*=\s*type_list<(.*?)>;", re.DOTALL)


def main():
    root = guard.arguments(__doc__).root
    text = (root / DECLARED).read_text()
    known = LIST.search(guard.code_only((root / KNOWN).read_text()))
    names = re.findall(r"[\w:]+", known[1]) if known else []
    declared = list(CLASS.finditer(text))
    problems = [
        f"{DECLARED}:{guard.line_of(text, c.start())}: {c[1]} is not in known_types of {KNOWN}: "
        "add it, and a test that it crosses"
        for c in declared if c[1] not in names
    ]
    if not declared or not names:
        problems.append(f"{KNOWN}: no list of known types, or no exceptions in {DECLARED}")
    guard.report(problems, f"{len(declared)} exceptions of cadre cross")


if __name__ == "__main__":
    main()
