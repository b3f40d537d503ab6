#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares what the analyser finds with what Python finds, and presses Ctrl-C at any moment.
Usage: test_log_analyser.py path/to/log_analyser"""

import collections
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ANALYSER = sys.argv.pop(1)
SEED = int(os.environ.get("SEED", time.time_ns() % 2**32))
HANG_LIMIT = 60
LINE = re.compile(rb'\S+ \S+ \S+ \[[^\]]+\] "\S+ (\S+) [^"]+" (\d{3}) (\d+|-) (\d+)')


def well_formed(rng):
    path = f"/page/{rng.randrange(40)}" if rng.random() < 0.9 else f"/once/{rng.randrange(10**6)}"
    size = rng.choice(["-", rng.randrange(10**6)])
    return (f"192.0.2.{rng.randrange(256)} - - [10/Oct/2025:13:55:36 +0200] "
            f'"GET {path} HTTP/1.1" {rng.choice([200, 200, 304, 404, 500])} {size} '
            f"{rng.randrange(10**7)}").encode()


MALFORMED = [
    b"", b" ", b'"', b"a b c [d] \"e f g\" 200 1", b"\xff\x00\xfe", b"word " * 50,
    b'192.0.2.1 - - [t] "GET /a HTTP/1.1" 2000 5 7', b'192.0.2.1 - - [t] "GET /a HTTP/1.1" 20x 5 7',
    b'192.0.2.1 - - [t] "GET /a HTTP/1.1" 200 -5 7',
    b'192.0.2.1 - - [t] "GET /a HTTP/1.1" 200 5 7x',
    b'192.0.2.1 - - [t] "GET /a" 200 5 7', b'192.0.2.1 - - [] "GET /a HTTP/1.1" 200 5 7',
    b'192.0.2.1 - - [t] "GET /a HTTP/1.1" 200 99999999999999999999 7',
]


def expected_report(log):
    """What the analyser is to print, found by a regular expression."""
    malformed = total_bytes = 0
    by_status, requested, slowest = (collections.Counter() for _ in range(3))
    for line in log.removesuffix(b"\n").split(b"\n") if log else []:
        match = LINE.fullmatch(line)
        if not match or match[3] != b"-" and int(match[3]) >= 2**64:
            malformed += 1
            continue
        path, status, size, microseconds = match.groups()
        total_bytes += 0 if size == b"-" else int(size)
        by_status[int(status)] += 1
        requested[path.decode()] += 1
        slowest[path.decode()] = max(slowest[path.decode()], int(microseconds))

    def top(title, unit, counts):
        rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:10]
        return [f"{title:10} {count} {unit}: {path}" for path, count in rows]

    return "\n".join([f"requests   {by_status.total()}", f"malformed  {malformed}",
                      f"bytes      {total_bytes}",
                      *(f"status     {code}: {count}" for code, count in sorted(by_status.items())),
                      *top("requested", "times", requested), *top("slowest", "us", slowest), ""])


class LogAnalyser(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)
        folder = tempfile.TemporaryDirectory(prefix="log_analyser_")
        self.addCleanup(folder.cleanup)
        self.log = pathlib.Path(folder.name) / "access.log"

    def run_analyser(self, *arguments):
        return subprocess.run([ANALYSER, *arguments], capture_output=True, text=True,
                              timeout=HANG_LIMIT)

    def check(self, content):
        self.log.write_bytes(content)
        done = self.run_analyser(self.log)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, expected_report(content))

    def test_finds_what_python_finds(self):
        lines = [well_formed(self.rng) for _ in range(20000)]  # some ten pieces
        self.check(b"\n".join(lines) + b"\n")
        self.check(b"\n".join(lines))  # the last one without its newline

    def test_malformed_lines_are_counted(self):
        lines = [well_formed(self.rng) if i % 3 else self.rng.choice(MALFORMED)
                 for i in range(20000)]
        self.check(b"\n".join(lines) + b"\n")
        self.check(b"\n".join(MALFORMED) + b"\n")

    def test_lines_may_be_longer_than_pieces(self):
        long = b'192.0.2.1 - - [t] "GET /%s HTTP/1.1" 200 5 7\n' % (b"x" * 2**20)
        self.check(well_formed(self.rng) + b"\n" + long + well_formed(self.rng) + b"\n" + long)

    def test_pieces_may_end_anywhere(self):
        line = well_formed(self.rng) + b"\n"
        for size in (2**18 - 1, 2**18, 2**18 + 1):  # as long as a piece, and one more or less
            self.check(b"x" * (size - len(line) - 1) + b"\n" + line)
            self.check(b"x" * (size - 1) + b"\n" + line)

    def test_empty_file_is_no_error(self):
        self.check(b"")

    def test_what_cannot_be_read_is_refused(self):
        fifo = self.log.with_name("fifo")
        os.mkfifo(fifo)
        for path, why in ((self.log, "No such file or directory"), (self.log.parent, "no regular"),
                          (fifo, "no regular")):
            done = self.run_analyser(path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr,
                             rf"\Alog_analyser: cannot read {path}: .*{why}.*; give .*\n\Z")

    def test_a_report_that_cannot_be_written_is_no_success(self):
        self.log.write_bytes(well_formed(self.rng))
        with open("/dev/full", "w") as full:
            done = subprocess.run([ANALYSER, self.log], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=HANG_LIMIT)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Alog_analyser: cannot write .*\n\Z")

    def test_without_a_file_it_says_how_to_use_it(self):
        done = self.run_analyser()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("usage", done.stderr)

    def interrupt_after(self, seconds):
        """Presses Ctrl-C so long after the start; returns how that ended."""
        # Before main() nobody can do better than to die of it. So the program is born with SIGINT
        # blocked, and one that comes too early waits for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            analyser = subprocess.Popen([ANALYSER, self.log], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        with analyser:
            time.sleep(seconds)
            analyser.send_signal(signal.SIGINT)
            output, errors = analyser.communicate(timeout=HANG_LIMIT)
        return analyser.returncode, output, errors

    def test_interrupt_at_any_moment(self):
        self.log.write_bytes(b"\n".join(well_formed(self.rng) for _ in range(20000)) * 40)
        times = []
        for _ in range(3):
            begin = time.monotonic()
            report = self.run_analyser(self.log).stdout
            times.append(time.monotonic() - begin)
        usual = min(times)  # the least, since others may keep the machine busy
        ends = collections.Counter()
        for moment in [0, 0, *(self.rng.uniform(0, 1.5 * usual) for _ in range(18))]:
            with self.subTest(moment=moment, usual=usual, seed=SEED):
                code, output, errors = self.interrupt_after(moment)
                ends[code] += 1
                if code == 130:
                    self.assertEqual(output, "")
                    self.assertRegex(errors, r"\Alog_analyser: interrupted [^\n]*\n\Z")
                else:
                    self.assertEqual((code, errors, output), (0, "", report))
        print(f"ends by exit code: {dict(ends)}; {usual:.3f} s uninterrupted", file=sys.stderr)


if __name__ == "__main__":
    print(f"seed {SEED}; set SEED to repeat it", file=sys.stderr)
    unittest.main()
