#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends images, good and hostile ones, to the service. Usage: test_thumbnails.py PROGRAM"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
HANG_LIMIT = 60
SEED = int(os.environ.get("CADRE_TEST_SEED", random.randrange(1 << 32)))
DOCUMENTED = {200, 400, 413, 500, 503, 504}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, rows, colour_type=6):
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1))
            + chunk(b"IEND", b""))


def plain(width, height, pixel=b"\x10\x80\xf0\xff"):
    return png_of(width, height, (b"\0" + pixel * width) * height)


def read_png(png):
    """Width, height and first pixel of an image as the service makes them."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", png[:40]
    width, height, depth, colour_type = struct.unpack(">IIBB", png[16:26])
    assert (depth, colour_type) == (8, 6)
    data, at = b"", 8
    while at < len(png):
        length, = struct.unpack(">I", png[at:at + 4])
        if png[at + 4:at + 8] == b"IDAT":
            data += png[at + 8:at + 8 + length]
        at += 12 + length
    rows = zlib.decompress(data)
    assert len(rows) == height * (4 * width + 1)
    return width, height, rows[1:5]  # no filter changes the first pixel of an image, but to itself


PHOTO = plain(300, 200)
SLOW = plain(3900, 3900, b"\x01\x02\x03\xff")
BROKEN = {
    "empty": b"",
    "text": b"no image at all",
    "random": random.Random(1).randbytes(5000),
    "random behind a signature": PHOTO[:8] + random.Random(2).randbytes(5000),
    "truncated header": PHOTO[:20],
    "truncated data": PHOTO[:len(PHOTO) // 2],
    "bit flipped": PHOTO[:60] + bytes([PHOTO[60] ^ 4]) + PHOTO[61:],
    "too few rows": png_of(100, 100, bytes(401 * 10)),
    "bomb of 2^31 - 1 columns and rows": png_of(0x7FFFFFFF, 0x7FFFFFFF, bytes(1000)),
    "bomb of 60000 columns and rows": png_of(60000, 60000, bytes(1000)),
    "bomb of 4001 columns and 4000 rows": png_of(4001, 4000, bytes(16005 * 4000)),
    "no columns": png_of(0, 10, bytes(10)),
    "unknown colours": png_of(10, 10, bytes(410), colour_type=5),
}


def commands():
    """The processes whose command line has the path of this test's program, by their ids."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and SERVICE in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:  # it has ended
            pass
    return found


class Service:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([SERVICE, *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        address = self.process.stdout.readline()
        assert address, self.process.communicate()
        self.port = int(address.rsplit(":", 1)[1])
        self.ending = False
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr))
        self.reader.start()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_LIMIT)
        try:
            connection.request(method, path, body, {"Content-Type": "image/png"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def shrink(self, png, size=100):
        return self.ask("POST", f"/thumbnail?size={size}", png)

    def stats(self):
        return json.loads(self.ask("GET", "/stats")[1])

    def end(self):
        self.ending = True
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(HANG_LIMIT)
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode


class Thumbnails(unittest.TestCase):
    def start(self, workers=2, milliseconds=30_000):
        service = Service("0", str(workers), str(milliseconds))
        self.addCleanup(service.process.kill)  # if it does not end otherwise

        def end():
            if not service.ending:
                self.assertEqual(service.end(), 0, service.log)
            self.assertEqual(commands(), set())

        self.addCleanup(end)
        return service

    def assert_thumbnail(self, answer, size, pixel=b"\x10\x80\xf0\xff"):
        self.assertEqual(answer[0], 200, answer[1])
        self.assertEqual(read_png(answer[1]), (*size, pixel))

    def test_thumbnails_keep_their_proportions_and_colours(self):
        service = self.start()
        for (width, height, size), expected in {
                (300, 200, 100): (100, 67), (200, 300, 100): (67, 100), (50, 40, 100): (50, 40),
                (1000, 1, 10): (10, 1), (1, 1, 1): (1, 1), (1025, 1025, 1024): (1024, 1024),
        }.items():
            with self.subTest(width=width, height=height, size=size):
                self.assert_thumbnail(service.shrink(plain(width, height), size), expected)
        half = png_of(2, 1, b"\0" + b"\xff\0\0\xff" + b"\0\xff\0\0")  # red, and unseen green
        self.assert_thumbnail(service.shrink(half, 1), (1, 1), b"\xff\0\0\x7f")

    def test_a_broken_image_is_told_to_who_sent_it(self):
        service = self.start()
        for name, png in BROKEN.items():
            with self.subTest(name):
                status, text = service.shrink(png)
                self.assertEqual(status, 400, text)
                self.assertGreater(len(text), 20)
        self.assert_thumbnail(service.shrink(PHOTO), (100, 67))

    def test_wrong_requests_are_told(self):
        service = self.start()
        for size in ("", "0", "-1", "1025", "many", "10x", "99999999999999999999"):
            with self.subTest(size):
                status, text = service.shrink(PHOTO, size)
                self.assertEqual(status, 400)
                self.assertIn(b"must be a number from 1 to 1024", text)
        self.assertEqual(service.ask("POST", "/thumbnail", PHOTO)[0], 400)
        self.assertEqual(service.ask("GET", "/nothing")[0], 404)

    def test_a_body_too_large_is_refused(self):
        service = self.start()
        try:
            self.assertEqual(service.shrink(bytes((8 << 20) + 1))[0], 413)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not read to the end what it refuses, and may close before
        self.assert_thumbnail(service.shrink(PHOTO), (100, 67))

    def signal_while_it_decodes(self, number, service, expected):
        """Until it meets a worker with a call: sends an image, and the signal to its worker."""
        deadline = time.monotonic() + HANG_LIMIT
        with concurrent.futures.ThreadPoolExecutor() as clients:
            while time.monotonic() < deadline:
                reply = clients.submit(service.shrink, SLOW)
                while not reply.done():
                    stats = service.stats()
                    if stats["running"] == 1 and stats["workers"]:
                        for worker in stats["workers"]:
                            try:
                                os.kill(worker, number)
                            except ProcessLookupError:
                                pass
                        break
                status, text = reply.result()
                if status == expected:
                    return text
                self.assertEqual(status, 200, text)
        self.fail("no signal came in time")

    def test_a_crash_costs_one_request(self):
        service = self.start(workers=1)
        for number in (signal.SIGSEGV, signal.SIGKILL):
            text = self.signal_while_it_decodes(number, service, 500)
            self.assertIn(b"the process that decoded the image died", text)
            self.assert_thumbnail(service.shrink(PHOTO), (100, 67))
        self.assertGreaterEqual(service.stats()["worker_deaths"], 2)
        self.assertEqual(service.end(), 0)
        self.assertIn('while it ran the call "thumbnail"', "".join(service.log))

    def test_a_call_that_takes_too_long_is_ended(self):
        service = self.start(workers=1, milliseconds=2000)
        text = self.signal_while_it_decodes(signal.SIGSTOP, service, 504)
        self.assertIn(b"took too long", text)
        self.assertEqual(service.stats()["timed_out"], 1)
        self.assert_thumbnail(service.shrink(PHOTO), (100, 67))

    def test_too_many_images_are_refused(self):
        service = self.start(workers=1)
        with concurrent.futures.ThreadPoolExecutor(24) as clients:
            statuses = [answer[0] for answer in clients.map(service.shrink, [SLOW] * 24)]
        self.assertLessEqual(set(statuses), {200, 503, 504})  # 504: a machine as busy as that
        self.assertGreaterEqual(statuses.count(503), 1)
        self.assert_thumbnail(service.shrink(PHOTO), (100, 67))

    def storm(self, service, number, over, begun):
        """One client with a mix of images, until `over` is set; the statuses that it got."""
        mix = random.Random(SEED + number)
        broken = [png for png in BROKEN.values() if len(png) < 50_000]
        statuses = []
        while not over.is_set():
            good = mix.random() < 0.6
            width, height = mix.randint(1, 400), mix.randint(1, 400)
            try:
                status, body = service.shrink(plain(width, height) if good else mix.choice(broken),
                                              mix.choice([1, 64, 100, 1024]))
            except (OSError, http.client.HTTPException):
                if not service.ending:
                    raise
                break
            allowed = {200, 503} if good else {400, 503}
            assert status in allowed, f"good: {good}, {status}, {body[:200]}"
            if status == 200:
                assert max(read_png(body)[:2]) <= 1024
            statuses.append(status)
            begun.release()
        return statuses

    def run_storm(self, service, until):
        over, begun = threading.Event(), threading.Semaphore(0)
        with concurrent.futures.ThreadPoolExecutor(24) as clients:
            all_statuses = [clients.submit(self.storm, service, i, over, begun) for i in range(24)]
            try:
                until(over, begun)
            finally:
                over.set()
            return [status for statuses in all_statuses for status in statuses.result()]

    def test_every_client_of_many_gets_a_documented_answer(self):
        service = self.start()
        statuses = self.run_storm(service, lambda over, begun: over.wait(2.5))
        self.assertLessEqual(set(statuses), DOCUMENTED)
        self.assertGreater(statuses.count(200), 0)
        self.assertGreater(statuses.count(400), 0)
        stats = service.stats()
        self.assertEqual(stats["timed_out"], 0)
        self.assertEqual(stats["finished"] - 1 + stats["failed"],  # of missing_protections()
                         len(statuses) - statuses.count(503))

    def test_sigterm_while_requests_run_leaves_nothing_behind(self):
        service = self.start()
        family = set()

        def terminate(over, begun):
            for _ in range(24):
                self.assertTrue(begun.acquire(timeout=HANG_LIMIT))
            family.update(commands())
            self.assertEqual(service.end(), 0, service.log)

        self.run_storm(service, terminate)
        self.assertIn(service.process.pid, family)
        self.assertGreater(len(family), 1)  # so that the search would have found what stays
        self.assertEqual(commands(), set())

    def test_sigterm_lets_a_running_request_end(self):
        service = self.start(workers=1)
        with concurrent.futures.ThreadPoolExecutor() as clients:
            reply = clients.submit(service.shrink, SLOW)
            while service.stats()["running"] == 0 and not reply.done():
                pass
            self.assertEqual(service.end(), 0, service.log)
            self.assert_thumbnail(reply.result(), (100, 100), b"\x01\x02\x03\xff")

    def test_wrong_arguments_are_told(self):
        service = self.start()
        for arguments in (["many"], ["0", "0"], ["0", "1", "0"], ["1", "2", "3", "4"],
                          [str(service.port)]):
            with self.subTest(arguments):
                done = subprocess.run([SERVICE, *arguments], capture_output=True,
                                      timeout=HANG_LIMIT)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(b"thumbnails: ", done.stderr)


if __name__ == "__main__":
    print("CADRE_TEST_SEED is", SEED, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="cadre_thumbnails_") as folder:
        # A copy, by whose path its processes are told from those of other runs.
        SERVICE = shutil.copy(PROGRAM, folder).encode()
        failed = not unittest.main(exit=False).result.wasSuccessful()
    sys.exit(failed)
