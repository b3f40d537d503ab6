#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves that each check_*.py is quiet on a clean tree and goes red on each planted violation."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent

CLEAN = {
    ".clang-format": "BasedOnStyle: Google\n",
    "tools/layers.txt": "[base]\nheaders = low.hpp errors.hpp\n[top]\nuses = base\nheaders = high.hpp\n[process]\nuses = base\nheaders =\n",
    "tools/header_budget.txt": "10 cadre/low.hpp\n",
    "tools/cpython_tests.txt": "# list\ntest_wait.py::test_timeout\ntest_wait.py::test_20369\n",
    "include/cadre/low.hpp": "// relaxed: nobody reads it. No condition_variable here.\n"
                             "x.store(1, std::memory_order_relaxed);\n",
    "include/cadre/high.hpp": "#include <cadre/low.hpp>\n",
    "src/base/low.cpp": '#include "base/inner.hpp"\n'
                        "// acquire: pairs with the release in give().\n"
                        "take(std::memory_order_acquire);\n",
    "src/base/inner.hpp": "#include <cadre/low.hpp>\n",
    "include/cadre/errors.hpp": "class A error : public std::runtime_error {};\n"
                                "class A late : public error {};\n",
    "src/process/known_exceptions.cpp": "using known_types = type_list<int, error, late>;\n",
    "src/top/high.cpp": '#include <cadre/high.hpp>\n\n#include "base/inner.hpp"\n'
                        "struct [[nodiscard(\"why\")]] alignas(64) long_one {\n" + "  int f();\n" * 70 + "};\n",
    "tests/wait_test.cpp": "TYPED_TEST(wait, ends_in_time) {}\n",
    "docs/reference/python-parity.md":
        "| CPython test | ours | note |\n|---|---|---|\n"
        "| `test_wait.py::test_timeout` | `wait.ends_in_time` | |\n"
        "| `test_wait.py::test_20369` | - | a bug of CPython only |\n",
    "tests/fault_test.cpp": "TEST(fault, f7_costs_one_call) {}\n",
    "docs/reference/faults.md":
        "| fault | ours | note |\n|---|---|---|\n| F7 a death | `fault.f7_costs_one_call` | |\n" +
        "".join(f"| F{n} a bug | - | of others only, not here |\n" for n in range(1, 86) if n != 7) +
        "".join(f"| B{n} of old | `compile_fail.takes_no_pointer` | |\n" for n in range(1, 8)),
    "tests/compile_fail/takes_no_pointer.cpp": "\n",
    "examples/01_hello.cpp": "int main() {\n  // [call]\n  f(1);\n\n  f(2);\n  // [/call]\n}\n",
    "README.md": "# Read me first\n"
                 "[code](examples/01_hello.cpp) [top](#read-me-first) [web](https://a.b/c)\n"
                 "<!-- snippet: examples/01_hello.cpp#call -->\n```cpp\nf(1);\n\nf(2);\n```\n",
}

# check, file, its text (added to the clean one, or a pair: replace this by that), what is reported
PLANTED = [
    ("layers", "src/base/low.cpp", "#include <cadre/high.hpp>\n",
     "layer 'base' may not include 'top'"),
    ("layers", "src/base/up.cpp", '#include "top/high.hpp"\n', "is not a path below src/"),
    ("layers", "include/cadre/low.hpp", "#include <cadre/high.hpp>\n", "may not include 'top'"),
    ("layers", "include/cadre/high.hpp", '#include "base/inner.hpp"\n',
     "a public header may not include"),
    ("layers", "include/cadre/new.hpp", "", "belongs to no layer"),
    ("layers", "src/extra/new.cpp", "", "belongs to no layer"),
    ("layers", "tools/layers.txt", "  gone.hpp\n", "no such header: gone.hpp"),
    ("exceptions", "include/cadre/errors.hpp", "class A soon : public error {};\n",
     "soon is not in known_types"),
    ("exceptions", "src/process/known_exceptions.cpp", (", late", ""), "late is not in known_types"),
    ("header_budget", "include/cadre/low.hpp", "int i;\n" * 20, "allowed are 10"),
    ("header_budget", "tools/header_budget.txt", "10 cadre/gone.hpp\n", "no such header"),
    ("ordering_comments", "src/top/high.cpp", "y.store(1, std::memory_order_relaxed);\n",
     "why this is relaxed"),
    ("ordering_comments", "src/base/low.cpp", ("acquire: pairs", "release: pairs"),
     "why this is acquire"),
    ("ordering_comments", "src/base/low.cpp", ("pairs with", "see"), "name the partner"),
    ("ordering_comments", "src/top/high.cpp", "int n = y.load();\n", "say the memory order"),
    ("ordering_comments", "src/top/high.cpp", "std::atomic<int> y;\n", "use cadre::sync::atomic"),
    ("ordering_comments", "src/top/high.cpp", "std::atomic_flag y;\n", "use cadre::sync::atomic"),
    ("ordering_comments", "src/top/high.cpp", "y.notify_all();\n", "no atomic wait/notify"),
    ("ordering_comments", "src/top/high.cpp", "std::condition_variable c;\n", "sync::parker"),
    ("ordering_comments", "src/top/high.cpp",
     "// seq_cst: pairs with itself\natomic_thread_fence(std::memory_order_seq_cst);\n",
     "no fences"),
    ("format", "src/top/high.cpp", "int   i;\n", "high.cpp: not formatted"),
    ("snippets", "README.md", ("f(2);", "f(3);"), "differs from examples/01_hello.cpp"),
    ("snippets", "README.md", ("#call", "#gone"), "no // [gone]"),
    ("snippets", "README.md", ("-->\n", "-->\n\n"), "has no code block"),
    ("sizes", "src/top/high.cpp", "int i;\n" * 801, "lines, at most 800"),
    ("sizes", "src/top/high.cpp",
     "namespace n {\nclass c {\n int f() const {\n" + "  g();\n" * 70 + " }\n};\n}\n",
     ":78: a function of 72"),
    ("sizes", "src/top/high.hpp", "", "high.hpp: 2 files of that name"),
    ("links", "README.md", "[gone](docs/gone.md)\n", "no such file: docs/gone.md"),
    ("links", "README.md", "[gone](#gone)\n", "no such heading: #gone"),
    ("parity", "tests/wait_test.cpp", ("ends_in_time", "other"),
     "there is no test wait.ends_in_time"),
    ("parity", "docs/reference/python-parity.md", ("a bug of CPython only", "later"),
     "must say why"),
    ("parity", "docs/reference/python-parity.md", ("20369", "gone"),
     "no row for test_wait.py::test_20369"),
    ("faults", "tests/fault_test.cpp", ("one_call", "all"), "there is no test fault.f7_costs_one_call"),
    ("faults", "tests/fault_test.cpp", "TEST(fault, f8_hangs) {}\n",
     "the row of F8 does not name fault.f8_hangs"),
    ("faults", "docs/reference/faults.md", ("F7 a", "F7a"), "no row for F7"),
    ("faults", "docs/reference/faults.md", ("B7 of", "B8 of"), "no row for B7"),
    ("faults", "docs/reference/faults.md", ("takes_no", "takes_any"),
     "there is no test compile_fail.takes_any_pointer"),
    ("faults", "docs/reference/faults.md", ("of others only, not here", "later"), "must say why"),
    ("faults", "docs/reference/faults.md", "| F9 a bug | - | of others only |\n", "a second row"),
]


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(check, root, *flags):
    command = [sys.executable, TOOLS / f"check_{check}.py", "--root", root, *flags]
    return subprocess.run(command, capture_output=True, text=True)


class Guards(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        write(self.root, CLEAN)

    def skip_if_it_cannot_check(self, done):
        if done.returncode == 77:
            self.skipTest(done.stderr)

    def test_each_is_quiet_on_a_clean_tree(self):
        for script in TOOLS.glob("check_*.py"):
            with self.subTest(script.stem):
                done = run(script.stem.removeprefix("check_"), self.root)
                self.skip_if_it_cannot_check(done)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_each_planted_violation_is_reported(self):
        for check, name, plant, message in PLANTED:
            with self.subTest(f"{check}: {message}"):
                before = CLEAN.get(name, "")
                after = before.replace(*plant) if isinstance(plant, tuple) else before + plant
                write(self.root, {name: after})
                done = run(check, self.root)
                write(self.root, {name: before}) if name in CLEAN else (self.root / name).unlink()
                self.skip_if_it_cannot_check(done)
                self.assertEqual(done.returncode, 1, "the check is blind to it")
                self.assertIn(message, done.stderr)

    def test_every_check_has_a_planted_violation(self):
        scripts = {s.stem.removeprefix("check_") for s in TOOLS.glob("check_*.py")}
        self.assertEqual(scripts, {check for check, *_ in PLANTED})

    def test_snippets_fix_copies_the_code(self):
        readme = self.root / "README.md"
        readme.write_text(CLEAN["README.md"].replace("f(2);", "f(3);"))
        run("snippets", self.root, "--fix")
        self.assertEqual(readme.read_text(), CLEAN["README.md"])


if __name__ == "__main__":
    unittest.main()
