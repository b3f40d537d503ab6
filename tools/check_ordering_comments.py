#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each explicit memory order is explained, and that atomics are used one way only.

A comment on the line or within the 3 lines above names the order; if it is not relaxed, also its
partner ("pairs with"). Some means are forbidden altogether; FORBIDDEN says what to use instead.
"""

import re

import guard

ORDER = re.compile(r"\bmemory_order(?:_|::)(\w+)")
# load(x) is not an atomic's: those of archives take the archive.
UNORDERED = re.compile(
    r"(?:\.|->)(?:load\s*\(\s*\)|(?:fetch_\w+|compare_exchange_\w+)\s*\()")
DOOR = "include/cadre/detail/atomic.hpp"
FORBIDDEN = {
    r"\batomic_(thread|signal)_fence\b": "no fences (ThreadSanitizer is blind to them)",
    r"\bstd::atomic\w*\b": "use cadre::sync::atomic, which the explorer replaces",
    r"\bstd::condition_variable\w*": "use sync::parker, which the explorer replaces",
    r"(?:\.|->)(?:notify_one|notify_all)\s*\(\s*\)": "no atomic wait/notify: use sync/futex.hpp",
}


def comment_near(lines, codes, row):
    """The comments on row and the 3 rows above, with the rest of one that starts higher."""
    first = max(0, row - 3)
    while first > 0 and lines[first].lstrip().startswith("//") and not codes[first - 1].strip():
        first -= 1
    return " ".join(line.partition("//")[2] for line in lines[first : row + 1])


def problems_of(name, text):
    code = guard.code_only(text)
    lines, codes = text.splitlines(), code.splitlines()
    for row, line in enumerate(codes):
        comment = comment_near(lines, codes, row)
        for order in ORDER.findall(line):
            if not re.search(rf"\b{order}\b", comment):
                yield f"{name}:{row + 1}: say why this is {order} (// {order}: ...)"
            elif order != "relaxed" and not re.search(r"\bpairs?\b", comment):
                yield f"{name}:{row + 1}: name the partner of this {order} (pairs with ...)"
    for use in UNORDERED.finditer(code):
        if "memory_order" not in code[use.start() : code.find(";", use.start())]:
            yield f"{name}:{guard.line_of(code, use.start())}: say the memory order, and why"
    for pattern, remedy in FORBIDDEN.items():
        for use in re.finditer(pattern, code):
            if name != DOOR:
                yield f"{name}:{guard.line_of(code, use.start())}: {use[0]}: {remedy}"


def main():
    root = guard.arguments(__doc__).root
    texts = {f.relative_to(root).as_posix(): f.read_text()
             for f in guard.sources(root, "include", "src")}
    problems = [p for name, text in texts.items() for p in problems_of(name, text)]
    orders = sum(len(ORDER.findall(guard.code_only(text))) for text in texts.values())
    guard.report(problems, f"{orders} memory orders are explained")


if __name__ == "__main__":
    main()
