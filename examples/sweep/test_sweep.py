#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Interrupts the parameter sweep at random moments and resumes it. Usage: test_sweep.py PROGRAM"""

import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
HANG_LIMIT = 60
SEED = int(os.environ.get("CADRE_TEST_SEED", random.randrange(1 << 32)))
SIDE = 20
EXECUTORS = ("threads:2", "processes:2")


class Sweep(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="cadre_sweep_")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        path = cls.folder / "whole.csv"
        subprocess.run([PROGRAM, "inline", path, str(SIDE)], check=True, capture_output=True,
                       timeout=HANG_LIMIT)
        cls.header, *rows = path.read_text().splitlines()
        cls.whole = sorted(rows)

    def setUp(self):
        self.path = self.folder / f"{self.id()}.csv"
        self.random = random.Random(f"{SEED} {self.id()}")

    def command(self, executor, side=SIDE):
        return [PROGRAM, executor, self.path, str(side)]

    def run_sweep(self, executor, side=SIDE, **options):
        return subprocess.run(self.command(executor, side), capture_output=True, text=True,
                              timeout=HANG_LIMIT, **options)

    def complete(self):
        """The numbers of the points whose rows are complete. Each is right, and there once."""
        text = self.path.read_text() if self.path.exists() else ""
        header, *rows = text[:text.rfind("\n") + 1].splitlines() or [self.header]
        self.assertEqual(header, self.header)
        self.assertEqual(len(set(rows)), len(rows))
        self.assertEqual(set(rows) - set(self.whole), set())
        return {int(row.split(",")[0]) for row in rows}

    def finish(self, executor):
        """Resumes the sweep, which must compute what is missing and nothing else."""
        present = len(self.complete())
        done = self.run_sweep(executor)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"{present} of {SIDE * SIDE} points are there\n"
                                      f"{SIDE * SIDE - present} points computed, 0 missing\n")
        self.assertEqual(self.path.read_text().splitlines()[0], self.header)
        rows = self.path.read_text().splitlines()[1:]
        self.assertEqual(len(rows), SIDE * SIDE)
        self.assertEqual(set(rows), set(self.whole))

    def test_all_points_are_there_and_some_have_failed(self):
        numbers = sorted(int(row.split(",")[0]) for row in self.whole)
        self.assertEqual(numbers, list(range(SIDE * SIDE)))
        ends = [row.split(",", 4)[4] for row in self.whole]
        self.assertGreater(ends.count("0.03,settled"), 300)    # at the first attempt
        self.assertGreater(ends.count("0.015,settled"), 10)    # at the second one
        self.assertGreater(ends.count("0.0075,diverged"), 10)  # at the last one, too

    def test_threads_and_processes_find_the_same(self):
        for executor in EXECUTORS:
            with self.subTest(executor):
                self.path.unlink(missing_ok=True)
                self.finish(executor)

    def test_a_second_run_computes_nothing(self):
        for executor in EXECUTORS:
            with self.subTest(executor):
                self.finish(executor)
                before = self.path.read_bytes()
                self.finish(executor)
                self.assertEqual(self.path.read_bytes(), before)

    def interrupt(self, executor, number, to_group):
        """Runs a sweep that gets the signal when it has written some rows; or when it has ended."""
        present = len(self.complete())
        rows = present + self.random.randint(0, 150)
        sweep = subprocess.Popen(self.command(executor), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            self.assertEqual(sweep.stdout.readline(),
                             f"{present} of {SIDE * SIDE} points are there\n")
            deadline = time.monotonic() + HANG_LIMIT
            while len(self.complete()) < rows and sweep.poll() is None:
                self.assertLess(time.monotonic(), deadline)
            time.sleep(self.random.random() / 500)  # so that it comes within a row, too
            if sweep.poll() is None:
                (os.killpg if to_group else os.kill)(sweep.pid, number)
            out, errors = sweep.communicate(timeout=HANG_LIMIT)
        finally:
            sweep.kill()
        self.assertEqual(errors, "")
        now = len(self.complete())
        if sweep.returncode not in (0, -number):
            self.assertEqual((sweep.returncode, number), (130, signal.SIGINT))
        if sweep.returncode == 130:
            self.assertEqual(out, f"{now - present} points computed, {SIDE * SIDE - now} missing\n")
            self.assertTrue(self.path.read_text().endswith("\n"))
        if sweep.returncode == -number:
            self.assertEqual(number, signal.SIGKILL)
        return sweep.returncode

    def interrupt_again_and_again(self, number, to_group):
        met = 0
        for _ in range(2):
            self.path.unlink(missing_ok=True)
            while len(self.complete()) < SIDE * SIDE:
                met += self.interrupt(self.random.choice(EXECUTORS), number, to_group) != 0
            self.finish(self.random.choice(EXECUTORS))
        self.assertGreater(met, 0)

    def test_sigkill_loses_no_complete_row(self):
        self.interrupt_again_and_again(signal.SIGKILL, to_group=False)

    def test_sigint_keeps_all_complete_rows(self):
        self.interrupt_again_and_again(signal.SIGINT, to_group=False)

    def test_sigint_to_the_process_group_is_the_same(self):
        self.interrupt_again_and_again(signal.SIGINT, to_group=True)

    def test_a_truncated_line_is_computed_again(self):
        text = self.header + "\n" + "".join(row + "\n" for row in self.whole)
        row = len(self.whole[-1]) + 1
        cuts = [0, 1, len(self.header), len(self.header) + 1, len(self.header) + 2, len(text) - 1,
                len(text) - row, len(text) - row + 1]
        cuts += [self.random.randrange(len(text)) for _ in range(4)]
        for cut in cuts:
            with self.subTest(cut=cut):
                self.path.write_text(text[:cut])
                self.finish(self.random.choice(EXECUTORS))

    def test_a_full_disk_ends_it_and_costs_one_row(self):
        limit = 5003  # bytes, which is not the end of a row
        done = self.run_sweep("threads:2", restore_signals=False,  # SIGXFSZ stays ignored
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                    (limit, limit)))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^sweep: cannot write .*\n$")
        self.assertGreater(len(self.complete()), 50)
        self.finish("threads:2")

    def test_files_that_are_not_its_own_are_refused_and_kept(self):
        self.finish("threads:2")
        own = self.path.read_text()
        for text in ("a letter", "a letter\n", self.header + "\nrow\n", own[:-3] + "\n" + own[-3:],
                     own.replace("\n7,", "\n8,"), self.header + "\n400,1,1,1,1,settled\n"):
            with self.subTest(text[:20]):
                if text in own:
                    continue
                self.path.write_text(text)
                done = self.run_sweep("threads:2")
                self.assertEqual(done.returncode, 2)
                self.assertIn("is not of this sweep", done.stderr)
                self.assertEqual(self.path.read_text(), text)
        self.path.write_text(own)
        self.assertIn("is not of this sweep", self.run_sweep("threads:2", side=SIDE - 1).stderr)

    def test_wrong_arguments_are_told(self):
        for arguments in ([], ["threads:2"], ["treads", self.path], ["threads:2", "/missing/file"],
                          ["threads:2", self.path, "1"], ["threads:2", self.path, "20x"]):
            with self.subTest(arguments):
                done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True,
                                      timeout=HANG_LIMIT)
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, r"^sweep: .*\n$")


if __name__ == "__main__":
    print("CADRE_TEST_SEED is", SEED, file=sys.stderr)
    unittest.main()
