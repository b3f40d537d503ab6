#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the code quoted in *.md is the code of examples/ that the tests compile and run.

<!-- snippet: examples/01_hello.cpp#main --> stands in the line above a code block, which must then
equal the lines between // [main] and // [/main] of that file. --fix copies them into the document.
"""

import re
import textwrap

import guard

QUOTE = re.compile(r"(<!-- snippet: (\S+)#(\S+) -->\n```\w*\n)(.*?)(```)", re.DOTALL)
MARK = "<!-- snippet:"


def marked_text(root, file, name):
    """The lines between the markers of a file, without their common indentation, or None."""
    text = (root / file).read_text() if (root / file).is_file() else ""
    name = re.escape(name)
    found = re.search(rf"// \[{name}\]\n(.*?)\n?[ \t]*// \[/{name}\]", text, re.DOTALL)
    return textwrap.dedent(found[1]).strip("\n") + "\n" if found else None


def main():
    args = guard.arguments(__doc__, "--fix")
    problems, count = [], 0
    for path in guard.documents(args.root):
        text = path.read_text()
        name = path.relative_to(args.root)

        def checked(quote):
            where = f"{name}:{guard.line_of(text, quote.start())}"
            code = marked_text(args.root, quote[2], quote[3])
            if code is None:
                problems.append(f"{where}: no // [{quote[3]}] ... // [/{quote[3]}] in {quote[2]}")
            elif code != quote[4] and not args.fix:
                problems.append(f"{where}: differs from {quote[2]}: run ./dev check --fix")
            return quote[0] if code is None else quote[1] + code + quote[5]

        fixed, quotes = QUOTE.subn(checked, text)
        count += quotes
        if quotes != text.count(MARK):
            problems.append(f"{name}: a snippet marker has no code block in the next line")
        if args.fix and fixed != text:
            path.write_text(fixed)
    guard.report(problems, f"{count} snippets are as compiled")


if __name__ == "__main__":
    main()
