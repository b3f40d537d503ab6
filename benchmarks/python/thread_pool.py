# SPDX-License-Identifier: MIT
"""The benchmarks of Python's own ThreadPoolExecutor: the questions of the .cpp files of the same
names, with fewer calls, because the results are per call and a call takes 10 us.

    thread_pool.py submit_get --rep 3     prints one JSON object a line
    thread_pool.py --list                 prints the benchmarks, one a line
"""

import argparse
import json
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

WORKERS = 2


def nothing():
    pass


def ns_per_call(calls, one_round):
    """The second of two rounds, as in the C++ harness the first is not timed."""
    one_round()
    start = time.perf_counter_ns()
    one_round()
    return (time.perf_counter_ns() - start) / calls


def submit_and_get(pool, calls):
    futures = [pool.submit(nothing) for _ in range(calls)]
    for future in futures:
        future.result()


def submit_get(report):
    calls = 50_000
    with ThreadPoolExecutor(WORKERS) as pool:
        report("ns_per_call", ns_per_call(calls, lambda: submit_and_get(pool, calls)))


def submit_get_2p(report):
    calls = 50_000
    with ThreadPoolExecutor(WORKERS) as pool:

        def one_round():
            second = threading.Thread(target=submit_and_get, args=(pool, calls // 2))
            second.start()
            submit_and_get(pool, calls // 2)
            second.join()

        report("ns_per_call", ns_per_call(calls, one_round))


def post(report):
    """Python has no call without a future; here it is dropped at once."""
    calls = 50_000

    def one_round():
        with ThreadPoolExecutor(WORKERS) as pool:
            for _ in range(calls):
                pool.submit(nothing)

    report("ns_per_call", ns_per_call(calls, one_round))


def latency(report, variant, calls, pause):
    initializer, cpus = None, os.sched_getaffinity(0)
    if variant == "x":
        os.sched_setaffinity(0, {0})
        initializer = lambda: os.sched_setaffinity(0, {1})  # 0 is the calling thread
    samples = []
    with ThreadPoolExecutor(WORKERS, initializer=initializer) as pool:
        for i in range(-calls // 10, calls):
            if pause:
                time.sleep(pause)
            start = time.perf_counter_ns()
            pool.submit(nothing).result()
            if i >= 0:
                samples.append(time.perf_counter_ns() - start)
    os.sched_setaffinity(0, cpus)
    samples.sort()
    report("p50_ns", samples[len(samples) // 2], variant)
    report("p99_ns", samples[len(samples) * 99 // 100], variant)


def latency_hot(report):
    for variant in "free", "x":
        latency(report, variant, 10_000, 0)


def latency_cold(report):
    for variant in "free", "x":
        latency(report, variant, 1_000, 0.001)


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def memory(report):
    calls = 100_000
    for variant in "post", "future":
        if os.fork() != 0:
            os.wait()
            continue
        release = threading.Event()
        pool = ThreadPoolExecutor(WORKERS)
        for _ in range(WORKERS):
            pool.submit(release.wait)
        before = resident_bytes()
        if variant == "future":
            kept = [pool.submit(nothing) for _ in range(calls)]  # held until the report
        else:
            for _ in range(calls):
                pool.submit(nothing)
        report("bytes_per_call", (resident_bytes() - before) / calls, variant)
        sys.stdout.flush()
        os._exit(0)


def cpu_percent(second):
    cpu, wall = time.process_time(), time.perf_counter()
    second()
    return (time.process_time() - cpu) / (time.perf_counter() - wall) * 100


def idle(report):
    with ThreadPoolExecutor(WORKERS) as pool:
        all_started = threading.Barrier(WORKERS)
        for future in [pool.submit(all_started.wait) for _ in range(WORKERS)]:
            future.result()
        report("cpu_percent", cpu_percent(lambda: time.sleep(1)), "empty")
        report("cpu_percent", cpu_percent(lambda: pool.submit(time.sleep, 1).result()), "one_call")


BENCHES = {
    bench.__name__: bench
    for bench in (submit_get, submit_get_2p, post, latency_hot, latency_cold, memory, idle)
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("bench", nargs="?", choices=BENCHES)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rep", type=int, default=0)
    args = parser.parse_args()
    if args.list:
        print(*BENCHES, sep="\n")
        return

    def report(metric, value, variant=None):
        row = {"bench": args.bench, "impl": "python", "metric": metric}
        if variant:
            row["variant"] = variant
        row |= {"value": float(f"{value:.6g}"), "rep": args.rep}
        print(json.dumps(row, separators=(",", ":")))

    BENCHES[args.bench](report)


if __name__ == "__main__":
    main()
