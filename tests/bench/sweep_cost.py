#!/usr/bin/env python3
"""What a sweep takes from a job on the node that it looks at: the time of the job's steps.

    PYTHONPATH=tests:tests/lab tests/bench/sweep_cost.py --pairs 40

Run as root on a machine with two cores or more and nothing else to do: a lab node of eight GPUs
(the stub library) and eight ports.  The node's sshd and a job of one process share one core, the
program that asks has another, as it would in a cluster.  Pairs of spans follow each other, one with
a sweep at its start and one without, in an order that chance decides.  Printed is by how much a
step took longer in a span with a sweep, the median of the pairs and where it lies with 95 % (a
bootstrap over the pairs), and the job's time that one sweep costs; and the same between spans that
differ in nothing, which says how much is noise.  Before that, what a sweep spends of the node's
processors, which says the most that it can cost and can be measured on a busy machine as well.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Process, Value
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from lab import start, stop

NODE_CORE, OUR_CORE = 0, 1
DRAWS = 4000


def work(counted: Any) -> None:
    """Steps of some 50 us, of arithmetic that stays in the cache."""
    while True:
        total = 1
        for number in range(1, 600):
            total = total * number % 1_000_003
        counted.value += 1


def steps_a_second(counted: Any, seconds: float) -> float:
    steps, began = counted.value, time.monotonic()
    time.sleep(seconds)
    return (counted.value - steps) / (time.monotonic() - began)


def interval(values: list[float]) -> tuple[float, float]:
    rng = Random(7)
    drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(DRAWS))
    return drawn[DRAWS // 40], drawn[-DRAWS // 40]


def sweeping(lab: Any, folder: str) -> Callable[[], subprocess.Popen[bytes]]:
    words = [
        *("taskset", "-c", str(OUR_CORE), sys.executable, "-m", "clusterctl", "sweep", "--quiet"),
        *("-i", str(lab.inventory), "-F", str(lab.ssh_config), "--nodes", "n01"),
        *("--runs-dir", folder),
    ]
    return lambda: subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def paired(
    job: Any, begin: Callable[[], subprocess.Popen[bytes]], pairs: int, span_s: float, *, same: bool
) -> list[float]:
    """Of each pair, by which share a step took longer with the sweep."""
    rng = Random(7)
    longer = []
    for _ in range(pairs):
        rates = {}
        for swept in rng.sample((True, False), 2):
            running = begin() if swept and not same else None
            rates[swept] = steps_a_second(job, span_s)
            if running is not None:
                _, said = running.communicate(timeout=120)
                if running.returncode not in {0, 1, 4}:
                    raise SystemExit(said.decode())
        longer.append(rates[False] / rates[True] - 1)
    return longer


def said(name: str, values: list[float], span_s: float) -> None:
    low, high = interval(values)
    lost = [f"{value * span_s * 1000:+.0f} ms" for value in (median(values), low, high)]
    print(
        f"{name:20} {median(values):+.3%} a step, 95 %: {low:+.3%} to {high:+.3%}; "
        f"of {span_s:g} s: {lost[0]}, 95 %: {lost[1]} to {lost[2]}",
        flush=True,
    )


def spent_s(lab: Any) -> float:
    """CPU of everything that has run and ended on the node, by whoever waited for it."""
    ticks = 0
    for pid in (lab.pid("n01"), *lab.processes("n01")):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, words[11:15]))  # utime, stime, and those of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")


def cost(lab: Any, begin: Callable[[], subprocess.Popen[bytes]], times: int) -> list[float]:
    found = []
    for _ in range(times):
        before = spent_s(lab)
        begin().communicate()
        time.sleep(1.0)  # for its sshd to end
        found.append(spent_s(lab) - before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=40, help="0: only what the node spends")
    parser.add_argument("--span", type=float, default=15.0, help="seconds; a sweep falls in it")
    given = parser.parse_args()
    counter = Value("q", 0, lock=False)
    job = Process(target=work, args=(counter,), daemon=True)
    lab, holder = start(1)
    try:
        lab.await_sshd()
        for pid in (lab.pid("n01"), *lab.processes("n01")):
            os.sched_setaffinity(pid, {NODE_CORE})
        job.start()
        os.sched_setaffinity(job.pid or 0, {NODE_CORE})
        os.sched_setaffinity(0, {OUR_CORE})
        load = Path("/proc/loadavg").read_text().split()[0]
        print(f"{given.pairs} pairs of spans of {given.span:g} s; load {load} before", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            begin = sweeping(lab, folder)
            begin().communicate()  # what only a first sweep has to do
            spent = cost(lab, begin, 5)
            print(f"CPU of the node, a sweep: median {median(spent):.2f} s of {len(spent)}")
            kinds = (("with a sweep", False), ("without in both", True))
            for name, same in kinds if given.pairs else ():
                said(name, paired(counter, begin, given.pairs, given.span, same=same), given.span)
    finally:
        job.kill()
        stop(holder)


if __name__ == "__main__":
    main()
