#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every check_*.py and clang-tidy; --fix mends what a program can mend."""

import pathlib
import subprocess
import sys

import guard

FIXERS = ("check_format", "check_snippets")


def main():
    args = guard.arguments(__doc__, "--fix")
    commands = {"clang-tidy": ["run-clang-tidy-16", "-quiet", "-p", args.root / "build/dev",
                               f"^{args.root}/src/"]}
    for script in sorted(pathlib.Path(__file__).parent.glob("check_*.py")):
        fix = ["--fix"] if args.fix and script.stem in FIXERS else []
        commands[script.stem] = [sys.executable, script, "--root", args.root, *fix]
    failed = []
    for name, command in commands.items():
        print(f"-- {name}", flush=True)
        if subprocess.run(command).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
