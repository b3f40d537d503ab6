#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compile_twice.py CASE.cpp COMPILER FLAGS...: compiles as it is, and not with CADRE_MUST_FAIL.

The first error that the compiler tells must be the one that the case expects. What a line
"// names: TYPE" asks for must be told not later than in that error's own line."""

import pathlib
import re
import subprocess
import sys

source, *compiler = sys.argv[1:]
expected = re.search(r"^// expect: (.+)$", pathlib.Path(source).read_text(), re.MULTILINE)
if not expected:
    sys.exit(f'{source}: no line "// expect: REGEX" says what the compiler must answer')

sound = subprocess.run([*compiler, source], capture_output=True, text=True)
if sound.returncode != 0:
    sys.exit(f"{source}: does not compile without CADRE_MUST_FAIL:\n{sound.stderr}")

misuse = subprocess.run([*compiler, "-DCADRE_MUST_FAIL", source], capture_output=True, text=True)
if misuse.returncode == 0:
    sys.exit(f"{source}: compiles with CADRE_MUST_FAIL")
first = " error: ".join(misuse.stderr.split(" error: ")[:2])  # with its notes
if not re.search(expected[1], first):
    sys.exit(f"{source}: the first error does not match /{expected[1]}/:\n{misuse.stderr}")

named = re.search(r"^// names: (.+)$", pathlib.Path(source).read_text(), re.MULTILINE)
told = re.search(r"\A.*? error: .*?$", misuse.stderr, re.DOTALL | re.MULTILINE)
if named and not (told and named[1] in told[0]):
    sys.exit(f"{source}: the first error does not name {named[1]}:\n{misuse.stderr}")
