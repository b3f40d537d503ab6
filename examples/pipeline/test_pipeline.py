#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the four ways of the pipeline with what Python computes, and lets them fail.
Usage: test_pipeline.py path/to/pipeline"""

import itertools
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib

PIPELINE = sys.argv.pop(1)
SANITIZED = any(name in pathlib.Path(PIPELINE).read_bytes()
                for name in (b"__asan_init", b"__tsan_init"))
WAYS = ("futures", "map", "coroutine", "queues")
ROUNDS = 50
HANG_LIMIT = 60


def transformed(lines, rounds=ROUNDS):
    return b"".join(b"%08x %s\n" % (zlib.crc32(line * rounds), line) for line in lines)


def feed(pipe, chunks):
    """Writes the chunks, until nobody reads any more. Does not close the pipe."""
    try:
        for chunk in chunks:
            pipe.write(chunk)
            pipe.flush()
    except BrokenPipeError:
        pass


def each_way(test):
    def run(self, *arguments):
        for way in WAYS:
            with self.subTest(way=way):
                test(self, way, *arguments)
    return run


class Pipeline(unittest.TestCase):
    def run_pipeline(self, way, text, *options):
        return subprocess.run([PIPELINE, way, *options], input=text, capture_output=True,
                              timeout=HANG_LIMIT)

    def start(self, way, *options):
        """Starts it with pipes. It is killed if it does not end in time."""
        program = subprocess.Popen([PIPELINE, way, *options], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watchdog = threading.Timer(HANG_LIMIT, program.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        return program

    def end(self, program, feeder):
        """Waits for it without having ended its input; returns what it wrote to stderr."""
        errors = program.stderr.read()
        program.wait()
        feeder.join()
        for pipe in (program.stdout, program.stderr, program.stdin):
            try:
                pipe.close()
            except BrokenPipeError:  # of what is still in the buffer
                pass
        return errors

    def feed(self, program, chunks):
        feeder = threading.Thread(target=feed, args=(program.stdin, chunks))
        feeder.start()
        return feeder

    @each_way
    def check(self, way, text, lines):
        done = self.run_pipeline(way, text)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout, transformed(lines))

    def test_lines_come_in_their_order(self):
        rng = random.Random(1)
        lines = [rng.randbytes(rng.randrange(60)).replace(b"\n", b"") for _ in range(20000)]
        self.check(b"\n".join(lines) + b"\n", lines)

    def test_order_does_not_depend_on_how_long_a_line_takes(self):
        lines = [b"x" * (20000 if i % 50 == 0 else 1) for i in range(500)]
        self.check(b"\n".join(lines) + b"\n", lines)

    def test_empty_input_gives_nothing(self):
        self.check(b"", [])

    def test_empty_lines_are_lines(self):
        self.check(b"\n\n\n", [b"", b"", b""])

    def test_last_line_needs_no_newline(self):
        for count in (1, 2, 63, 64, 65, 1000):  # about the window, too
            lines = [b"%d" % i for i in range(count)]
            self.check(b"\n".join(lines), lines)

    def assert_fails_in_line(self, number, code, errors):
        self.assertEqual(code, 1)
        self.assertRegex(errors, rb"\Apipeline: line %d failed: [^\n]*\n\Z" % number)

    @each_way
    def test_a_line_that_fails_ends_it_after_those_before(self, way):
        for count in (0, 1, 500):
            lines = [b"%d" % i for i in range(count)]
            text = b"\n".join([*lines, b"fail", b"behind", b"fail", b"fail"])
            done = self.run_pipeline(way, text)
            self.assert_fails_in_line(count + 1, done.returncode, done.stderr)
            self.assertEqual(done.stdout, transformed(lines))

    @each_way
    def test_a_failure_does_not_wait_for_the_end_of_the_input(self, way):
        program = self.start(way)
        feeder = self.feed(program, [b"fail\n" + b"line\n" * 1000])
        errors = self.end(program, feeder)
        self.assert_fails_in_line(1, program.returncode, errors)

    @each_way
    def test_a_reader_that_leaves_early_ends_it(self, way):
        program = self.start(way)
        feeder = self.feed(program, itertools.repeat(b"line\n" * 1000))
        self.assertEqual(program.stdout.readline(), transformed([b"line"]))
        program.stdout.close()
        self.assertEqual(self.end(program, feeder), b"")
        self.assertEqual(program.returncode, 141)

    @each_way
    def test_what_cannot_be_read_is_told(self, way):
        with tempfile.TemporaryDirectory() as folder:
            descriptor = os.open(folder, os.O_RDONLY)
            done = subprocess.run([PIPELINE, way], stdin=descriptor, capture_output=True,
                                  timeout=HANG_LIMIT)
            os.close(descriptor)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertRegex(done.stderr, rb"\Apipeline: cannot read stdin: [^\n]*\n\Z")

    @each_way
    def test_what_cannot_be_written_is_told(self, way):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PIPELINE, way], input=b"line\n" * 1000, stdout=full,
                                  stderr=subprocess.PIPE, timeout=HANG_LIMIT)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rb"\Apipeline: cannot write to stdout: [^\n]*\n\Z")

    def test_wrong_arguments_say_how_to_use_it(self):
        for arguments in ([], ["other"], ["map", "0"], ["map", "x"], ["map", "1", "2"]):
            done = subprocess.run([PIPELINE, *arguments], stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=HANG_LIMIT)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(b"usage", done.stderr)

    def peak_memory(self, way, count):
        """In KiB, after so many lines. Of a program that goes on: what getrusage() tells about one
        that has ended includes what this process had when it forked."""
        behind = 500  # the last ones may wait in the window; all of them fit into the pipe
        program = self.start(way, "1")
        chunk = b"a line of some sixty bytes, of which there are very many\n" * 1000
        feeder = self.feed(program, itertools.repeat(chunk, count // 1000))
        for _ in range(count - behind):
            self.assertTrue(program.stdout.readline())
        status = pathlib.Path(f"/proc/{program.pid}/status").read_text()
        feeder.join()
        _, errors = program.communicate()
        self.assertEqual((program.returncode, errors), (0, b""))
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])

    @unittest.skipIf(SANITIZED, "sanitizers keep what was freed")
    @each_way
    def test_memory_does_not_grow_with_the_input(self, way):
        few, many = self.peak_memory(way, 10_000), self.peak_memory(way, 100_000)
        # 90,000 lines, or as many futures, would be 10 MiB at least.
        self.assertLess(many, few + 3000, "KiB")


if __name__ == "__main__":
    unittest.main()
