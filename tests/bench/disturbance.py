#!/usr/bin/env python3
"""What sampling takes from a job: the time of its work, with the sampler and without.

    PYTHONPATH=tests:tests/lab tests/bench/disturbance.py

Run as root: a lab node of eight GPUs (the stub library) and eight ports.  A job multiplies matrices
on one core, a fixed amount a slice of half a second; the slices of a pair are the same but for the
supervisor sampling or stopped (SIGSTOP), in an order that chance decides.

The dose makes it decidable: it samples `--every` 0.25 s instead of every 10 s, so what a sample
takes is seen forty times larger than what is asked for, and divided by that again.  Samples that
follow so closely find their caches warm; so first the CPU time of one is measured at both paces,
and where the slow one costs more, what is printed is that much more.

Printed of each place of the sampler (on the job's own core, and on another) is by how much the
job's work takes longer at a sample every 10 s: the Hodges-Lehmann estimate over the pairs, and
between what it lies with 95 % (Wilcoxon's signed ranks).  `time` holds what the sampler takes of
the core, and needs an idle machine; `CPU time` only what it does to the caches, `and what it takes`
that and its own CPU time, which other work disturbs little.  A line between slices that differ in
nothing says what is noise.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import log, sqrt
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from campaigns import Campaign
from lab import start, stop

from clusterctl.model import Node, Pace
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings

ASKED_S = 10.0  # between samples, as a campaign takes them
CLAIM = 0.001
SIZE = 256  # three matrices of half a megabyte: what a core's own caches hold


def work(told: Connection, core: int) -> None:
    """So many products each time it is told; answers with seconds and seconds of CPU."""
    os.sched_setaffinity(0, {core})
    rng = np.random.default_rng(7)
    left, right = rng.random((2, SIZE, SIZE))
    out = np.empty((SIZE, SIZE))
    while True:
        count = told.recv()
        wall, spent = time.perf_counter(), time.thread_time()
        for _ in range(count):
            np.matmul(left, right, out=out)
        told.send((time.perf_counter() - wall, time.thread_time() - spent))


@dataclass
class Sampler:
    """The processes of a campaign on a node that samples and does nothing else."""

    lab: Any

    def pids(self) -> list[int]:
        mine = self.lab.processes("n01").items()
        return [pid for pid, command in mine if " clusterctl " in command]

    def tasks(self) -> Iterator[Path]:
        for pid in self.pids():
            yield from Path(f"/proc/{pid}/task").iterdir()

    def pin(self, core: int) -> None:
        for task in self.tasks():
            os.sched_setaffinity(int(task.name), {core})

    def spent_s(self) -> float:
        return sum(int((one / "schedstat").read_text().split()[0]) for one in self.tasks()) / 1e9

    def sample_ms(self, seconds: float, every_s: float) -> float:
        before = self.spent_s()
        time.sleep(seconds)
        return 1000 * (self.spent_s() - before) * every_s / seconds


def paired(
    job: Connection, count: int, sampler: Sampler, pairs: int, *, same: bool
) -> tuple[list[float], list[float]]:
    """Of each pair, by which share the work took longer with the sampler: time, and CPU time."""
    rng = Random(7)
    wall, spent, pids = [], [], sampler.pids()
    for _ in range(pairs):
        took = {}
        for sampled in rng.sample((True, False), 2):
            for pid in () if sampled or same else pids:
                told(pid, signal.SIGSTOP)
            job.send(count)
            took[sampled] = job.recv()
            for pid in pids:
                told(pid, signal.SIGCONT)
        wall.append(log(took[True][0] / took[False][0]))
        spent.append(log(took[True][1] / took[False][1]))
    return wall, spent


def told(pid: int, word: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # what reads modules lives for a moment only
        os.kill(pid, word)


def estimate(values: list[float]) -> tuple[float, float, float]:
    """Hodges and Lehmann's, and where it lies with 95 %: of the means of all pairs of values."""
    n, many = len(values), np.array(values)
    means = np.sort(((many[:, None] + many) / 2)[np.triu_indices(n)])
    behind = n * (n + 1) / 4 - 1.96 * sqrt(n * (n + 1) * (2 * n + 1) / 24)
    at = max(0, int(behind))
    return float(np.median(means)), float(means[at]), float(means[-1 - at])


def said(name: str, values: list[float], dose: float) -> bool:
    """Prints it; whether it is decided that the claim holds."""
    middle, low, high = (one / dose for one in estimate(values))
    holds = high <= CLAIM
    word = "holds" if holds else "does not hold" if low > CLAIM else "undecided: more pairs"
    print(
        f"{name:34} {middle:+.4%}, 95 %: {low:+.4%} to {high:+.4%}; ≤ {CLAIM:.1%} {word}",
        flush=True,
    )
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=70, help="of each line")
    parser.add_argument("--slice", type=float, default=0.5, help="seconds")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between samples")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    job, theirs = Pipe()
    worker = Process(target=work, args=(theirs, cores[0]), daemon=True)
    lab, holder = start(1)
    try:
        lab.await_sshd()
        around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
        transport, sampler = Ssh(Pace(), around=around, rng=Random(1)), Sampler(lab)

        def sampling(name: str, every_s: float, seconds: float) -> tuple[Campaign, float]:
            campaign = Campaign(transport, Node("n01"), name, ())
            plan = {"every_s": every_s, "hard_s": 1e5, "lease_s": 1e5}
            assert campaign.start(plan).ok
            time.sleep(5)  # the first samples are full ones
            return campaign, sampler.sample_ms(seconds, every_s)

        load = Path("/proc/loadavg").read_text().split()[0]
        slow, cold_ms = sampling("bench-slow", ASKED_S, 4 * ASKED_S)
        slow.clear()
        campaign, warm_ms = sampling("bench", given.every, 5)
        dose = ASKED_S / given.every / max(1.0, cold_ms / warm_ms)
        print(f"load {load} before; a sample costs {cold_ms:.2f} ms every {ASKED_S:g} s, "
              f"{warm_ms:.2f} ms every {given.every:g} s: a dose of {dose:.0f}")  # fmt: skip
        worker.start()
        job.send(100)
        count = round(100 * given.slice / job.recv()[0])
        for name, core, same in (
            ("on the job's core", cores[0], False),
            ("on another core", cores[-1], False),
            ("no difference (noise)", cores[-1], True),
        ):
            sampler.pin(core)
            wall, spent = paired(job, count, sampler, given.pairs, same=same)
            said(f"{name}, time", wall, dose)
            said(f"{name}, CPU time", spent, dose)
            if core == cores[0]:
                taken = dose * cold_ms / 1000 / ASKED_S
                said(f"{name}, and what it takes", [one + taken for one in spent], dose)
        campaign.clear()
    finally:
        worker.kill()
        stop(holder)


if __name__ == "__main__":
    main()
