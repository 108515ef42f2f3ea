#!/usr/bin/env python3
"""What sampling takes from a job: the time of its steps, with the sampler beside it and without.

    PYTHONPATH=tests:tests/lab tests/bench/disturbance.py --pairs 60

Run as root: a lab node of eight GPUs (the stub library) and eight ports.  A job counts its steps;
pairs of spans follow each other, one with the supervisor sampling and one with it stopped
(SIGSTOP), in an order that chance decides.  Printed is by how much a step took longer, the median
of the pairs, and where it lies with 95 % (a bootstrap over the pairs); and the same between spans
that differ in nothing, which says how much is noise.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import Process, Value
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from campaigns import Campaign
from lab import start, stop

from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings

DRAWS = 4000


def work(counted: Any) -> None:
    """Steps of some 50 us, of arithmetic that stays in the cache."""
    while True:
        total = 1
        for number in range(1, 600):
            total = total * number % 1_000_003
        counted.value += 1


@dataclass
class Job:
    """Owns a process on each of so many cores.  `counters`: steps done."""

    crew: list[Process]
    counters: list[Any]

    def look(self) -> tuple[int, float, float]:
        """(steps, seconds of CPU, seconds)"""
        steps = sum(one.value for one in self.counters)
        spent = [Path(f"/proc/{one.pid}/schedstat").read_text().split()[0] for one in self.crew]
        return steps, sum(map(int, spent)) / 1e9, time.monotonic()

    def rates(self, seconds: float) -> tuple[float, float]:
        """Steps a second, and a second of CPU: on a machine with other work, the calmer one."""
        before = self.look()
        time.sleep(seconds)
        steps, spent_s, passed_s = (b - a for a, b in zip(before, self.look(), strict=True))
        return steps / passed_s, steps / spent_s


def pids(lab: Any) -> list[int]:
    return [pid for pid, command in lab.processes("n01").items() if " clusterctl " in command]


def paired(
    job: Job, lab: Any, pairs: int, span_s: float, *, same: bool
) -> tuple[list[float], list[float]]:
    """Of each pair, by which share a step took longer with the sampler: in time, and in CPU."""
    rng = Random(7)
    wall, spent = [], []
    for _ in range(pairs):
        rates = {}
        for sampled in rng.sample((True, False), 2):
            stopped = pids(lab) if not (sampled or same) else []
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            rates[sampled] = job.rates(span_s)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        wall.append(rates[False][0] / rates[True][0] - 1)
        spent.append(rates[False][1] / rates[True][1] - 1)
    return wall, spent


def interval(values: list[float]) -> tuple[float, float]:
    rng = Random(7)
    drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(DRAWS))
    return drawn[DRAWS // 40], drawn[-DRAWS // 40]


def said(name: str, values: list[float]) -> None:
    low, high = interval(values)
    print(f"{name:34} {median(values):+.3%} a step, 95 %: {low:+.3%} to {high:+.3%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--span", type=float, default=10.0, help="seconds; one sample falls in it")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    given = parser.parse_args()
    counters = [Value("q", 0, lock=False) for _ in range(given.cores)]
    crew = [Process(target=work, args=(one,), daemon=True) for one in counters]
    lab, holder = start(1)
    try:
        lab.await_sshd()
        around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
        campaign = Campaign(Ssh(Pace(), around=around, rng=Random(1)), Node("n01"), "bench", ())
        assert campaign.start({"every_s": given.every, "hard_s": 1e5, "lease_s": 1e5}).ok
        for one in crew:
            one.start()
        load = Path("/proc/loadavg").read_text().split()[0]
        print(f"{given.pairs} pairs of spans of {given.span:g} s; load {load} before")
        job = Job(crew, counters)
        for name, same in (("with the sampler", False), ("with it in both spans", True)):
            wall, spent = paired(job, lab, given.pairs, given.span, same=same)
            said(f"{name}, time", wall)
            said(f"{name}, CPU time", spent)
        campaign.clear()
    finally:
        for one in crew:
            one.kill()
        stop(holder)


if __name__ == "__main__":
    main()
