# SPDX-License-Identifier: MIT
"""The benchmarks of Python's worker processes: the questions of the .cpp files of the same names,
with fewer calls. Implementations: python (ProcessPoolExecutor), python_pool (multiprocessing.Pool).

    process_pool.py proc_latency --impl python --rep 3     prints one JSON object a line
    process_pool.py proc_latency --list                    prints the implementations, one a line
"""

import argparse
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

WORKERS = 2
ITEM_NS = 20_000


def same(x):
    return x


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def work(x):
    end = time.perf_counter_ns() + ITEM_NS
    while time.perf_counter_ns() < end:
        pass
    return x


class Executor:
    def __init__(self, workers=WORKERS):
        self.pool = ProcessPoolExecutor(workers)

    def submit(self, function, *args):
        return self.pool.submit(function, *args).result

    def map(self, function, items):
        return list(self.pool.map(function, items, chunksize=-(-len(items) // (WORKERS * 4))))

    def pids(self):
        return list(self.pool._processes)

    def close(self):
        self.pool.shutdown()


class Pool(Executor):
    def __init__(self, workers=WORKERS):
        self.pool = multiprocessing.Pool(workers)

    def submit(self, function, *args):
        return self.pool.apply_async(function, args).get

    def map(self, function, items):
        return self.pool.map(function, items)

    def pids(self):
        return [process.pid for process in self.pool._pool]

    def close(self):
        self.pool.terminate()


def elapsed_ns(work_once):
    start = time.perf_counter_ns()
    work_once()
    return time.perf_counter_ns() - start


def median(values):
    return sorted(values)[len(values) // 2]


def proc_submit_get(report, kind):
    calls, pool = 20_000, kind()

    def one_round():
        for get in [pool.submit(same, i) for i in range(calls)]:
            get()

    one_round()
    report("ns_per_call", elapsed_ns(one_round) / calls)
    pool.close()


def proc_latency(report, kind):
    calls, pool = 5_000, kind()
    samples = [elapsed_ns(lambda: pool.submit(same, 1)()) for _ in range(calls + calls // 10)]
    samples = sorted(samples[calls // 10:])
    report("p50_ns", samples[len(samples) // 2])
    report("p99_ns", samples[len(samples) * 99 // 100])
    pool.close()


def proc_rate(report, kind):
    """Quiet only, and without the CPU time."""
    for per_second in 100, 1000:
        calls, pool = 300, kind()
        samples = []
        for _ in range(calls + calls // 10):
            time.sleep(1 / per_second)
            samples.append(elapsed_ns(lambda: pool.submit(same, 1)()))
        samples = sorted(samples[calls // 10:])
        report("p50_ns", samples[len(samples) // 2], f"{per_second}/s")
        report("p99_ns", samples[len(samples) * 99 // 100], f"{per_second}/s")
        pool.close()


def proc_payload(report, kind):
    pool = kind()
    for name, size in ("1KB", 1 << 10), ("64KB", 1 << 16), ("1MB", 1 << 20), ("64MB", 1 << 26):
        value, rounds = bytes(size), 3 if size > 1 << 20 else 200
        times = [elapsed_ns(lambda: pool.submit(same, value)()) for _ in range(rounds)]
        report("gb_per_s", 2 * size / median(times), name)
    pool.close()


def proc_start(report, kind):
    for name, resident in ("small", 0), ("1GiB", 1 << 30):
        ballast = bytearray(b"x") * resident
        start = time.perf_counter_ns()
        pool = kind()
        pool.submit(same, 1)()
        report("ms", (time.perf_counter_ns() - start) / 1e6, name)
        pool.close()
        del ballast


def proc_map(report, kind):
    pool, items = kind(), range(10_000)
    pool.map(work, items)
    ideal = ITEM_NS * len(items) / WORKERS
    report("efficiency", ideal / elapsed_ns(lambda: pool.map(work, items)))
    pool.close()


def proc_crash(report, kind):
    failures, following = [], []
    for _ in range(20):
        pool = kind(1)
        pool.submit(same, 1)()
        start = time.perf_counter_ns()
        try:
            pool.submit(crash)()
        except BrokenProcessPool:
            failures.append(time.perf_counter_ns() - start)
        pool.close()
        start = time.perf_counter_ns()
        pool = kind(1)  # the old one is broken
        pool.submit(same, 1)()
        following.append(time.perf_counter_ns() - start)
        pool.close()
    report("ms", median(failures) / 1e6, "failure")
    report("ms", median(following) / 1e6, "next")


def proc_memory(report, kind):
    pool = kind(1)
    pool.submit(same, 1)()
    with open(f"/proc/{pool.pids()[0]}/smaps_rollup") as rollup:
        kib = next(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))
    report("bytes_per_worker", kib * 1024)
    pool.close()


BENCHES = {bench.__name__: bench for bench in (proc_submit_get, proc_latency, proc_rate,
                                               proc_payload, proc_start, proc_map, proc_crash,
                                               proc_memory)}
KINDS = {"python": Executor, "python_pool": Pool}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bench", choices=BENCHES)
    parser.add_argument("--impl", choices=KINDS, default="python")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rep", type=int, default=0)
    args = parser.parse_args()
    if args.list:
        # A Pool never tells of a worker that died: its call would be waited for for ever.
        print(*[kind for kind in KINDS if (args.bench, kind) != ("proc_crash", "python_pool")],
              sep="\n")
        return

    def report(metric, value, variant=None):
        row = {"bench": args.bench, "impl": args.impl, "metric": metric}
        if variant:
            row["variant"] = variant
        row |= {"value": float(f"{value:.6g}"), "rep": args.rep}
        print(json.dumps(row, separators=(",", ":")))

    BENCHES[args.bench](report, KINDS[args.impl])


if __name__ == "__main__":
    main()
