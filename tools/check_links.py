#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the relative links of *.md lead to files of the repository, and to their headings."""

import re

import guard

LINK = re.compile(r"\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def anchors(path):
    """The fragments that GitHub makes from the headings of a document."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def main():
    root = guard.arguments(__doc__).root
    problems, count = [], 0
    for path in guard.documents(root):
        text = FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), path.read_text())
        for link in LINK.finditer(text):
            target, _, fragment = link[1].partition("#")
            if re.match(r"\w+:", target):
                continue
            count += 1
            where = f"{path.relative_to(root)}:{guard.line_of(text, link.start())}"
            goal = (path.parent / target) if target else path
            if not goal.exists():
                problems.append(f"{where}: no such file: {target}")
            elif fragment and goal.suffix == ".md" and fragment not in anchors(goal):
                problems.append(f"{where}: no such heading: {link[1]}")
    guard.report(problems, f"{count} links lead somewhere")


if __name__ == "__main__":
    main()
