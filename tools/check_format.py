#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that C++ files are formatted as .clang-format says; --fix formats them."""

import pathlib
import re
import shutil
import subprocess

import guard

FOLDERS = ("include", "src", "tests", "examples", "benchmarks")


def main():
    args = guard.arguments(__doc__, "--fix")
    # Versions differ in details, and those before 15 cannot format a requires-clause.
    program = shutil.which("clang-format-16")
    if program is None:
        guard.skip("clang-format-16 is not installed, and other versions format differently: "
                   "./dev check installs it, where the system has it")
    files = guard.sources(args.root, *FOLDERS)
    command = [program, f"--style=file:{args.root}/.clang-format", *files]
    if args.fix:
        subprocess.run([*command, "-i"], check=True)
        guard.report([], f"{len(files)} files are formatted")
    found = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    wrong = sorted(set(re.findall(r"^(.+?):\d+:\d+: warning", found.stderr, re.MULTILINE)))
    guard.report([f"{pathlib.Path(name).relative_to(args.root)}: not formatted: ./dev check --fix"
                  for name in wrong], f"{len(files)} files are formatted")


if __name__ == "__main__":
    main()
