#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what a reader can take in: files of 800 lines, functions of 70, unique file names."""

import collections
import re

import guard

FILE_LINES, FILE_LINES_ASK, FUNCTION_LINES = 800, 500, 70
FOLDERS = ("include", "src", "tests", "examples", "benchmarks")
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$")
ATTRIBUTE = re.compile(r"\balignas\([^()]*\)|\[\[[^\[\]]*\]\]")


def long_functions(code):
    """First and last line of each outermost function body that is too long, found by its braces."""
    stack, body, head = [], None, 0
    for brace in re.finditer(r"[{};]", code):
        if brace[0] == "{":
            before = ATTRIBUTE.sub("", code[head : brace.start()])
            if body is None and ")" in before and not SCOPE.search(before):
                body = len(stack)
            stack.append(guard.line_of(code, brace.start()))
        elif brace[0] == "}" and stack:
            first, last = stack.pop(), guard.line_of(code, brace.start())
            if body == len(stack):
                body = None
                if last - first + 1 > FUNCTION_LINES:
                    yield first, last
        head = brace.end()


def main():
    root = guard.arguments(__doc__).root
    files = guard.sources(root, *FOLDERS)
    problems = []
    for path in files:
        name, code = path.relative_to(root), guard.code_only(path.read_text())
        lines = code.count("\n")
        if lines > FILE_LINES:
            problems.append(f"{name}: {lines} lines, at most {FILE_LINES}: split it")
        elif lines > FILE_LINES_ASK:
            print(f"{name}: {lines} lines: would two files be clearer?")
        for first, last in long_functions(code):
            problems.append(f"{name}:{first}: a function of {last - first + 1} lines, "
                            f"at most {FUNCTION_LINES}")
    names = collections.Counter(p.name for p in guard.sources(root, "include", "src"))
    problems += [f"{name}: {count} files of that name in include/ and src/"
                 for name, count in names.items() if count > 1]
    guard.report(problems, f"{len(files)} files are of a readable size")


if __name__ == "__main__":
    main()
