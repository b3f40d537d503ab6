#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the benchmarks, compares cadre with its peers and says whether it reaches its bars.

    benchmarks/run.py --build build/release                   all of them
    benchmarks/run.py --build build/release post fib          some
    benchmarks/run.py --build build/release --reps 9 post     more repetitions than 5

One process measures one implementation once. The repetitions are interleaved (all
implementations, then all again), so that a slow minute of the machine hits all of them. A
repetition during which other processes used too much of the machine is not clean and made again.
The result is a table, and NAME.json in `bench` beside the build directory, one JSON object a line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

BENCHES = (
    "submit_get submit_get_2p post latency_hot latency_cold fib recursion map_tiny map_small "
    "map_medium for_each continuations timers first_call memory idle await queue stream "
    "proc_submit_get proc_latency proc_rate proc_payload proc_start proc_map proc_crash proc_memory"
).split()

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"  # the system's, not one that happens to be first in PATH
PYTHON_POOL = HERE / "python" / "thread_pool.py"
PYTHON_PROCESSES = HERE / "python" / "process_pool.py"
TIMEOUT_S = 120

# Above this share of all CPUs, other processes disturb the measurement. /proc/stat counts in ticks
# of 10 ms, so a few ticks more say nothing about a short run.
OTHERS_SHARE = 0.08
OTHERS_SLACK_S = 0.03
ATTEMPTS = 4

MORE_IS_BETTER = {"speedup", "efficiency", "gb_per_s"}


@dataclass(frozen=True)
class Times:
    """cadre is at least `factor` times as good as the best of the peers."""

    factor: float
    peers: tuple
    metric: str
    variant: str = ""
    ours: str = "cadre"

    def __str__(self):
        name = "" if self.ours == "cadre" else f"{self.ours} "
        return f"{name}>= {self.factor:.3g}x {' and '.join(self.peers)}"

    def judge(self, medians):
        """What cadre reaches, and by which share that is too little."""
        ours = medians[self.ours, self.metric, self.variant]
        theirs = [
            value
            for (impl, *rest), value in medians.items()
            if impl in self.peers and rest == [self.metric, self.variant]
        ]
        more_is_better = self.metric in MORE_IS_BETTER
        actual = ours / max(theirs) if more_is_better else min(theirs) / ours
        return f"{actual:.3g}x", self.factor / actual - 1


@dataclass(frozen=True)
class Limit:
    """cadre's median is no worse than `limit`."""

    limit: float
    metric: str
    variant: str = ""
    ours: str = "cadre"

    def __str__(self):
        name = "" if self.ours == "cadre" else f"{self.ours} "
        sign = ">=" if self.metric in MORE_IS_BETTER else "<="
        return f"{name}{self.metric} {sign} {self.limit:g}"

    def judge(self, medians):
        ours = medians[self.ours, self.metric, self.variant]
        more_is_better = self.metric in MORE_IS_BETTER
        return f"{ours:.4g}", (self.limit / ours if more_is_better else ours / self.limit) - 1


TBB = ("tbb_task_group", "tbb_arena")
PARALLEL_FOR = ("tbb_parallel_for",)
MAPS = ("cadre", "cadre_caller_runs")
WITHIN_5_PERCENT = 1 / 1.05
VARIANTS = ("free", "x")

BARS = {
    "submit_get": [
        Times(10, ("boost_asio",), "ns_per_call"),
        Times(6, ("tbb_task_group",), "ns_per_call"),
    ],
    "submit_get_2p": [
        Times(10, ("boost_asio",), "ns_per_call"),
        Times(5, TBB, "ns_per_call"),
    ],
    "post": [
        Times(8, ("boost_asio",), "ns_per_call"),
        Times(5, TBB, "ns_per_call"),
    ],
    "latency_hot": [
        bar
        for variant in VARIANTS
        for bar in (
            Limit(450, "p50_ns", variant),
            Times(1 / 1.1, ("futex_ping_pong",), "p50_ns", variant),
        )
    ]
    + [
        Times(1, ("boost_asio",), "p50_ns", "crowded"),
        Limit(100_000, "p99_ns", "crowded"),
        Times(1, ("boost_asio", *TBB), "p50_ns", "one_busy"),
        Times(1 / 1.1, ("boost_asio", *TBB), "cpu_ns_per_call", "one_busy"),
    ],
    "latency_cold": [
        Times(1, ("boost_asio", "std_async"), "p50_ns", "free"),
        Times(1, ("boost_asio",), "p50_ns", "x"),
        *(Times(1, ("boost_asio", *TBB), metric, "crowded") for metric in ("p50_ns", "p99_ns")),
    ],
    "fib": [
        Limit(45, "ns_per_fork"),
        Limit(60, "ns_per_fork", ours="cadre_all"),
        Limit(3, "threads"),
    ],
    "recursion": [
        Times(1 / 1.2, ("tbb_task_group",), "ns_per_node", variant, ours=ours)
        for variant in ("skynet", "queens", "tree")
        for ours in ("cadre_futures", "cadre_all")
    ],
    "continuations": [
        Limit(100, "ns_per_call", "when_all"),
        Limit(150, "ns_per_call", "chain"),
        Limit(250, "ns_per_call", "fan"),
    ],
    "timers": [Limit(1000, "ns_to_set")],
    "first_call": [Limit(25_000, "p50_ns", ours="cadre_prestarted")],
    "map_tiny": [Times(WITHIN_5_PERCENT, PARALLEL_FOR, "speedup", ours=ours) for ours in MAPS],
    "map_small": [
        Times(factor, peers, "speedup", ours=ours)
        for ours in MAPS
        for factor, peers in ((WITHIN_5_PERCENT, PARALLEL_FOR), (1, ("serial",)))
    ],
    "map_medium": [Times(WITHIN_5_PERCENT, PARALLEL_FOR, "speedup", ours=ours) for ours in MAPS],
    "for_each": [
        Times(1, PARALLEL_FOR, "times_serial", "1M"),
        Limit(2, "times_serial", "1k"),
        Limit(8, "ns_per_element", "1M empty"),
    ],
    "memory": [Limit(96, "bytes_per_call", "future")],
    "idle": [Limit(0.5, "cpu_percent", "empty"), Limit(0.5, "cpu_percent", "one_call")],
    "await": [
        Limit(30, "ns_per_call", "future"),
        *(
            Times(1, (peer,), "p50_ns", variant)
            for peer in ("calls", "blocking")
            for variant in VARIANTS
        ),
        Times(1 / 2, ("calls",), "ns_per_fork", "skynet"),
    ],
    "stream": [
        bar
        for what in ("40us", "100us", "1000us", "files")
        for style in ("as_completed", "map", "get")
        for bar in (
            Limit(0.93, "efficiency", f"{what} {style}", ours="cadre_threads"),
            Limit(0.85, "efficiency", f"{what} {style}", ours="cadre_processes"),
            Times(1, ("pipe",), "efficiency", f"{what} {style}", ours="cadre_processes"),
        )
    ],
    "proc_submit_get": [
        Limit(667, "ns_per_call"),
        Times(100, ("python",), "ns_per_call"),
        Times(1, ("pipe",), "ns_per_call"),
    ],
    "proc_latency": [
        Limit(1000, "p50_ns"),
        Times(100, ("python",), "p50_ns"),
        Times(20, ("pipe",), "p50_ns"),
    ],
    "proc_rate": [
        Times(1 / 1.2, ("pipe",), "cpu_ns_per_call", "100/s"),
        *(Times(1 / 2, ("pipe",), metric, "100/s crowded") for metric in ("p50_ns", "p99_ns")),
    ],
    "proc_payload": [
        *(Times(0.9, ("unix_socket", "boost_mq"), "gb_per_s", s) for s in ("1KB", "64KB", "1MB", "64MB")),
        *(Limit(3, "gb_per_s", s) for s in ("64KB", "1MB", "64MB")),
        *(Limit(3000, "p50_ns", f"shared_{s}") for s in ("1KB", "64KB", "1MB", "64MB")),
    ],
    "proc_start": [Limit(5, "ms", "small"), Limit(6, "ms", "1GiB")],
    "proc_map": [Limit(0.95, "efficiency")],
    "proc_crash": [Limit(2, "ms", "failure"), Limit(5, "ms", "next")],
    "proc_memory": [Limit(300 * 1024, "bytes_per_worker")],
    "queue": [
        bar
        for metric, variants in (
            ("ns_per_element", ("1p1c", "2p2c", "4p4c")),
            ("p50_ns", VARIANTS),
        )
        for variant in variants
        for bar in (
            Times(3, ("mutex_cv",), metric, variant),
            Times(1, ("tbb_bounded",), metric, variant),
        )
    ],
}


def machine_busy_s():
    """CPU time all processes have used, and the hypervisor has taken, since the machine started."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, *interrupts_and_steal = stat.readline().split()[1:9]
    ticks = sum(map(int, (user, nice, system, *interrupts_and_steal)))
    return ticks / os.sysconf("SC_CLK_TCK")


def own_busy_s():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(command):
    """Runs one process; its rows, and the share of the machine that others used meanwhile."""
    busy, own, start = machine_busy_s(), own_busy_s(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}")
    capacity = (time.monotonic() - start) * os.cpu_count()
    others = (machine_busy_s() - busy) - (own_busy_s() - own)
    return [json.loads(line) for line in done.stdout.splitlines()], others, capacity


def measure_clean(command):
    """As measure(), repeated until nobody disturbs it; after the last attempt says so instead."""
    for _ in range(ATTEMPTS):
        rows, others, capacity = measure(command)
        if others <= max(OTHERS_SHARE * capacity, OTHERS_SLACK_S):
            return rows
    for row in rows:
        row["clean"] = False
    return rows


def listed_by(command):
    listing = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True)
    return listing.stdout.split()


def commands_of(bench, build):
    """The implementations of a benchmark and how each is started."""
    if bench.startswith("proc_"):
        ways = [str(build / "benchmarks" / f"bench_{bench}")], [PYTHON, str(PYTHON_PROCESSES), bench]
        return {impl: [*way, "--impl", impl] for way in ways for impl in listed_by(way)}
    binary, python = [str(build / "benchmarks" / f"bench_{bench}")], [PYTHON, str(PYTHON_POOL)]
    commands = {impl: [*binary, "--impl", impl] for impl in listed_by(binary)}
    if bench in listed_by(python):
        commands["python"] = [*python, bench]
    return commands


def progress(text=""):
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def run(bench, build, reps):
    """All rows of a benchmark. An implementation that fails is reported and left out."""
    commands, rows, failed = commands_of(bench, build), [], set()
    for rep in range(reps):
        for impl in [impl for impl in commands if impl not in failed]:
            progress(f"{bench}: {rep + 1}/{reps} {impl}")
            try:
                rows += measure_clean([*commands[impl], "--rep", str(rep)])
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{bench}: {impl} is left out: {error}", file=sys.stderr)
                failed.add(impl)
    progress()
    return rows, not failed


def show_table(title, values):
    """`values` by implementation."""
    print(f"\n{title}")
    print(f"  {'impl':<18}{'median':>12}{'min':>12}{'max':>12}{'to cadre':>10}")
    ours = statistics.median(values["cadre"]) if "cadre" in values else None
    for impl, of_impl in values.items():
        median = statistics.median(of_impl)
        numbers = "".join(f"{x:>12.5g}" for x in (median, min(of_impl), max(of_impl)))
        print(f"  {impl:<18}{numbers}{f'{median / ours:.2f}x' if ours else '-':>10}")


def show_bars(bench, medians):
    for bar in BARS[bench]:
        variant = f" ({bar.variant})" if bar.variant else ""
        try:
            actual, missed_by = bar.judge(medians)
        except (KeyError, ValueError):
            print(f"bar: {bar}{variant}: not measured")
            continue
        verdict = "ok" if missed_by <= 0 else f"MISSED by {missed_by:.0%}"
        print(f"bar: {bar}{variant}: {actual}  {verdict}")


def show(bench, rows):
    """Prints a table for each metric and variant, then the bars."""
    values = defaultdict(list)
    for row in rows:
        values[row["impl"], row["metric"], row.get("variant", "")].append(row["value"])
    for metric, variant in dict.fromkeys((metric, variant) for _, metric, variant in values):
        of_metric = {i: v for (i, *rest), v in values.items() if rest == [metric, variant]}
        show_table(f"{bench}: {metric}{', ' + variant if variant else ''}", of_metric)
    dirty = len({(row["impl"], row["rep"]) for row in rows if row.get("clean") is False})
    if dirty:
        print(f"  {dirty} runs are not clean: others used over {OTHERS_SHARE:.0%} of the CPUs")
    show_bars(bench, {key: statistics.median(of_key) for key, of_key in values.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=Path, required=True, help="a build of the preset release")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("bench", nargs="*", metavar="NAME", help=" ".join(BENCHES))
    args = parser.parse_args()
    if unknown := set(args.bench) - set(BENCHES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {' '.join(BENCHES)}")

    results = args.build.resolve().parent / "bench"
    results.mkdir(parents=True, exist_ok=True)
    complete = True
    for bench in args.bench or BENCHES:
        rows, all_ran = run(bench, args.build.resolve(), args.reps)
        lines = (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (results / f"{bench}.json").write_text("".join(lines))
        show(bench, rows)
        complete = complete and all_ran
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
