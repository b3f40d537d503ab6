#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks every #include of src/ and include/ against layers.txt: no layer knows a higher one."""

import configparser
import re

import guard

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<(cadre/[^>]+)>)', re.MULTILINE)


def main():
    root = guard.arguments(__doc__).root
    law = configparser.ConfigParser()
    law.read(root / "tools/layers.txt")
    uses = {layer: {layer, *law[layer].get("uses", "").split()} for layer in law.sections()}
    owner = {h: layer for layer in uses for h in law[layer].get("headers", "").split()}

    problems = [f"tools/layers.txt: no such header: {h}" for h in owner
                if not (root / "include/cadre" / h).exists()]
    files = guard.sources(root, "include/cadre", "src")
    for path in files:
        name = path.relative_to(root).as_posix()
        public = name.startswith("include/")
        layer = owner.get(name.removeprefix("include/cadre/")) if public else name.split("/")[1]
        if layer not in uses:
            problems.append(f"{name}: belongs to no layer: add it to tools/layers.txt")
            continue
        text = path.read_text()
        for include in INCLUDE.finditer(text):
            private, header = include.groups()
            where = f"{name}:{guard.line_of(text, include.start(0) + 1)}"
            if private and public:
                problems.append(f'{where}: a public header may not include "{private}"')
            elif private and not (root / "src" / private).exists():
                problems.append(f'{where}: "{private}" is not a path below src/')
            else:
                other = private.split("/")[0] if private else owner.get(header[len("cadre/"):])
                if other is not None and other not in uses[layer]:
                    problems.append(f"{where}: layer '{layer}' may not include '{other}': "
                                    f"{private or header}")
    guard.report(problems, f"{len(files)} files keep to their layers")


if __name__ == "__main__":
    main()
