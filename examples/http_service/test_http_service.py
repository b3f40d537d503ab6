#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives the HTTP service as clients do, many at a time. Usage: test_http_service.py PROGRAM"""

import concurrent.futures
import http.client
import signal
import subprocess
import sys
import unittest

SERVICE = sys.argv.pop(1)
HANG_LIMIT = 40


class HttpService(unittest.TestCase):
    def setUp(self):
        self.service = subprocess.Popen([SERVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.port = int(self.service.stdout.readline())

    def tearDown(self):
        self.service.send_signal(signal.SIGTERM)
        self.service.communicate(timeout=HANG_LIMIT)
        self.assertEqual(self.service.returncode, 0)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_LIMIT)

    def get(self, path, connection=None):
        connection = connection or self.connect()
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()

    def test_cpu_work_is_answered(self):
        self.assertEqual(self.get("/primes/100"), (200, "25"))

    def test_a_worker_process_answers(self):
        self.assertEqual(self.get("/render/hello"), (200, "HELLO"))

    def test_a_crash_is_the_answer_to_one_request(self):
        connection = self.connect()
        self.assertEqual(self.get("/render/crash", connection), (502, "killed by signal 6"))
        self.assertEqual(self.get("/render/again", connection), (200, "AGAIN"))

    def test_bad_requests_are_told(self):
        self.assertEqual(self.get("/primes/many")[0], 400)
        self.assertEqual(self.get("/nothing")[0], 404)

    def test_a_slow_call_does_not_hold_up_others(self):
        with concurrent.futures.ThreadPoolExecutor() as clients:
            slow = clients.submit(self.get, "/primes/2000000")
            self.assertEqual(self.get("/nothing")[0], 404)
            self.assertFalse(slow.done())
            self.assertEqual(slow.result(), (200, "148933"))

    def test_under_load_every_client_gets_its_own_answers(self):
        def client(number):
            connection = self.connect()
            for i in range(25):
                text = f"client{number}x{i}"
                if self.get(f"/render/{text}", connection) != (200, text.upper()):
                    return f"{text}: wrong"
                if self.get("/primes/1000", connection) != (200, "168"):
                    return f"{text}: primes"
                if number == 0 and i % 5 == 0 and self.get("/render/crash", connection)[0] != 502:
                    return "no crash"
            return ""

        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            self.assertEqual(set(clients.map(client, range(16))), {""})

    def test_a_client_that_leaves_before_the_answer_harms_nobody(self):
        for _ in range(10):
            connection = self.connect()
            connection.request("GET", "/primes/100000")
            connection.close()
        self.assertEqual(self.get("/primes/100"), (200, "25"))


if __name__ == "__main__":
    unittest.main()
