# SPDX-License-Identifier: MIT
"""What the guards share: their arguments, the files they read, the way they report.

Each check_*.py exits with 1 and one line per problem (file:line: what, what now), with 77 and a sentence
where it cannot check anything, or with 0.
"""

import argparse
import pathlib
import re
import sys

_TOKEN = re.compile("|".join([
    r"//[^\n]*",
    r"/\*.*?\*/",
    r'R"([^(\s]*)\(.*?\)\1"',
    r'"(?:\\.|[^"\\\n])*"',
    r"(?<!\w)'(?:\\.|[^'\\\n])+'",  # a character, not the separator of 1'000
]), re.DOTALL)

_TEST = re.compile(r"\b(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")


def arguments(doc, *flags):
    """The parsed command line: root (the repository) and the named boolean flags."""
    parser = argparse.ArgumentParser(description=doc)
    here = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--root", type=pathlib.Path, default=here, help="the repository to check")
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def sources(root, *folders):
    """The .hpp and .cpp files below the folders, sorted."""
    found = (p for folder in folders for p in (root / folder).rglob("*.[hc]pp"))
    return sorted(p for p in found if p.is_file())


def tests(root):
    """The names of all tests, "suite.test"."""
    return {".".join(t) for f in sources(root, "tests") for t in _TEST.findall(f.read_text())}


def documents(root):
    """The Markdown files of the repository, without build trees and hidden folders."""
    return sorted(
        p
        for p in root.rglob("*.md")
        if not any(part == "build" or part.startswith(".") for part in p.relative_to(root).parts)
    )


def code_only(text):
    """C++ text with comments and literals blanked out; every line keeps its number and length."""
    return _TOKEN.sub(lambda token: re.sub(r"[^\n]", " ", token.group()), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def skip(why):
    """Says why nothing was checked, and exits with what CTest takes for "skipped"."""
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(77)


def report(problems, done):
    """Prints the problems and exits: 1 if there is one; else 0, saying what was done."""
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(done)
    sys.exit(1 if problems else 0)
