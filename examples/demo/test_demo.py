#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the demo on trees made for it. Usage: test_demo.py path/to/cadre_demo"""

import hashlib
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

DEMO = sys.argv.pop(1)
SANITIZED = any(name in pathlib.Path(DEMO).read_bytes() for name in (b"__asan_init", b"__tsan_init"))
# Ctrl-C must end the demo within 100 ms; what a sanitizer does at the end is not the demo's.
STOP_LIMIT = (1 if SANITIZED else 0.1) * float(os.environ.get("CADRE_TEST_SCALE", "1"))
HANG_LIMIT = 50


class Demo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="cadre_demo_")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_sparse(self, name, size):
        os.truncate(self.write(name, b""), size)

    def fill(self):
        """Files enough that a signal meets the passes at work, and calls that wait."""
        for i in range(1000):
            self.write(f"many/{i}", b"word")
        for i in range(4):
            self.write_sparse(f"{i}", 1 << 26)

    def run_demo(self, *options):
        done = subprocess.run([DEMO, str(self.root), *options], capture_output=True, text=True,
                              timeout=HANG_LIMIT)
        if not SANITIZED:  # which reports what crashes
            self.assertEqual(done.stderr, "")
        return done

    def fact(self, done, name):
        return re.search(rf"^{name} +(.*)$", done.stdout, re.MULTILINE)[1]

    def test_facts_are_those_that_python_finds(self):
        contents = {
            "empty": b"",
            "a.c": b"int main() { return x1 + 0x1F; } /* \xff_\xfe */\n",
            "deep/er/b.h": b"one two_2 _3 4 five" * 20000,  # identifiers across block borders
            "z": bytes(range(256)) * 300,
        }
        for name, content in contents.items():
            self.write(name, content)
        paths = sorted(str(self.root / name) for name in contents)
        lines = "".join(f"{hashlib.sha256(pathlib.Path(p).read_bytes()).hexdigest()}  {p}\n"
                        for p in paths)
        count = sum(len(re.findall(rb"[A-Za-z_][A-Za-z0-9_]*", c)) for c in contents.values())

        done = self.run_demo()

        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.fact(done, "results"), "equal")
        self.assertEqual(self.fact(done, "files"), "4 read, 0 unreadable")
        self.assertEqual(self.fact(done, "bytes"), str(sum(map(len, contents.values()))))
        self.assertEqual(self.fact(done, "identifiers"), str(count))
        self.assertEqual(self.fact(done, "sha256").split()[0],
                         hashlib.sha256(lines.encode()).hexdigest())

    def test_table_has_a_row_per_pass(self):
        self.write("a", b"x")
        done = self.run_demo("--workers", "3")
        header, *rows = re.search(r"^(pass .*)\n(serial .*)\n(threads .*)\n(processes .*)$",
                                  done.stdout, re.MULTILINE).groups()
        self.assertEqual(header.split(), ["pass", "workers", "seconds", "calls/s", "MB/s",
                                          "speed-up"])
        self.assertEqual([row.split()[1] for row in rows], ["1", "3", "3"])

    def test_unreadable_files_are_failed_calls_and_listed(self):
        self.write("good", b"word")
        (self.root / "nowhere").symlink_to("missing")
        (self.root / "itself").symlink_to("itself")
        (self.root / "memory").symlink_to("/proc/self/mem")  # opens, but address 0 cannot be read

        done = self.run_demo()

        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.fact(done, "results"), "equal")
        self.assertEqual(self.fact(done, "files"), "1 read, 3 unreadable")
        self.assertIn("unreadable files: 3\n", done.stdout)
        self.assertIn(f"  {self.root}/nowhere: No such file or directory\n", done.stdout)
        self.assertIn(f"  {self.root}/itself: Too many levels of symbolic links\n", done.stdout)
        self.assertIn(f"  {self.root}/memory: Input/output error\n", done.stdout)

    def test_different_results_are_told_and_fail(self):
        (self.root / "changes").symlink_to("/proc/sys/kernel/random/uuid")  # at each read
        done = self.run_demo()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"DIFFERENT in threads, first at {self.root}/changes", self.fact(done, "results"))

    def test_each_damaged_image_costs_one_call(self):
        done = self.run_demo()
        self.assertEqual(done.returncode, 0)
        self.assertIn("28 decoded, 12 crashed", self.fact(done, "images"))
        ends = dict(re.findall(r"^  (\w+\.png) +(\w+)", done.stdout, re.MULTILINE))
        expected = {f"truncated{i}.png": "SIGABRT" for i in range(2, 40, 5)}
        expected |= {f"oversized{i}.png": "SIGSEGV" for i in range(9, 40, 10)}
        if SANITIZED:  # it reports what it finds and exits
            self.assertEqual(ends.keys(), expected.keys())
        else:
            self.assertEqual(ends, expected)

    def test_leaves_no_file_behind(self):
        folder = self.root / "temporary"
        folder.mkdir()
        subprocess.run([DEMO, str(self.root)], env=os.environ | {"TMPDIR": str(folder)}, check=True,
                       capture_output=True, timeout=HANG_LIMIT)
        self.assertEqual(list(folder.iterdir()), [])

    def test_what_is_no_file_is_skipped(self):
        self.write("folder/file", b"word")
        (self.root / "folder/loop").symlink_to(self.root)
        (self.root / "empty/empty").mkdir(parents=True)
        os.mkfifo(self.root / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.root / "socket"))
            done = self.run_demo()
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.fact(done, "files"), "1 read, 0 unreadable")
        self.assertIn(": 1 files; skipped 3 ", done.stdout)

    def test_empty_tree_is_no_error(self):
        done = self.run_demo()
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.fact(done, "files"), "0 read, 0 unreadable")

    @unittest.skipIf(SANITIZED, "sanitizers take memory of their own")
    def test_huge_file_is_read_in_blocks(self):
        size = 1 << 28
        self.write_sparse("huge", size)
        demo = subprocess.Popen([DEMO, str(self.root)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(demo.pid, 0)
        demo.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(demo.returncode, 0)
        self.assertLess(usage.ru_maxrss * 1024, size / 2)

    def test_missing_folder_is_refused(self):
        done = subprocess.run([DEMO, str(self.root / "missing")], capture_output=True, text=True,
                              timeout=HANG_LIMIT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("missing", done.stdout + done.stderr)

    def interrupt_after(self, line):
        """Starts the demo, waits for a line that begins so, presses Ctrl-C, returns the rest."""
        with subprocess.Popen([DEMO, str(self.root)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as demo:
            while not demo.stdout.readline().startswith(line):
                self.assertIsNone(demo.poll())
            begin = time.monotonic()
            demo.send_signal(signal.SIGINT)
            demo.wait(HANG_LIMIT)
            seconds = time.monotonic() - begin
            rest, errors = demo.communicate()
        self.assertEqual(demo.returncode, 130)
        self.assertEqual(errors, "")
        self.assertLess(seconds, STOP_LIMIT)
        return rest

    def test_interrupt_stops_the_passes_of_the_caller(self):
        self.fill()
        rest = self.interrupt_after(str(self.root))
        self.assertRegex(rest, r'interrupted in the pass "(warm-up|serial)": \d+ of 1004 files done')

    def test_interrupt_stops_the_threads(self):
        self.fill()
        rest = self.interrupt_after("serial")
        self.assertRegex(rest, r'interrupted in the pass "threads": \d+ of 1004 files done')

    def test_interrupt_stops_the_worker_processes(self):
        self.fill()
        rest = self.interrupt_after("threads")
        self.assertRegex(rest, r'interrupted in the pass "processes": \d+ of 1004 files done')

    def test_progress_is_shown_on_a_terminal_only(self):
        self.fill()
        screen, terminal = pty.openpty()
        with subprocess.Popen([DEMO, str(self.root)], stdout=terminal) as demo:
            os.close(terminal)
            shown = b""
            try:
                while part := os.read(screen, 65536):
                    shown += part
            except OSError:  # how a terminal says that the other side is gone
                pass
        os.close(screen)
        self.assertEqual(demo.returncode, 0)
        self.assertRegex(shown.decode(),
                         r"\rthreads +\[#*-*\] +\d+ %  \d+ files/s  \d+\.\d s left\x1b\[K")
        in_a_pipe = subprocess.run([DEMO, str(self.root)], capture_output=True, timeout=HANG_LIMIT)
        self.assertNotIn(b"\r", in_a_pipe.stdout)


if __name__ == "__main__":
    unittest.main()
