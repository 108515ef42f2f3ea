"""Jobs that nobody ran, as the sampler on their nodes would see them; knows nothing of the judge.

A job is a list of steps; a step is compute (with microsteps), then or meanwhile traffic.  Between
steps come checkpoints and evaluations.  A fault makes every step longer from some moment on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
HEARTBEATS = 300.0  # bytes a second


@dataclass(frozen=True, slots=True)
class Job:
    """What a job is like.  Times in seconds; `jitter`: of a step, as a share of it."""

    period_s: float
    jitter: float = 0.02
    microsteps: int = 1
    style: str = "end"  # end, overlap, sharded, alone (no traffic), silent (no rhythm at all)
    uneven: float = 0.0  # sequence lengths: how much steps differ for good reason
    duty: float = 0.3  # of a step that is traffic
    computes: float = 0.6  # of compute that a main thread is busy
    checkpoint_every: int = 0  # steps
    checkpoint_s: float = 0.0
    writes: bool = False  # over the NIC that is watched
    evaluate_every: int = 0
    evaluate_steps: int = 0
    noise: float = 0.01  # of the mean rate, that is somebody else's traffic
    warm: int = 3  # slow steps at the start
    fault_s: float = float("inf")
    slower: float = 1.0
    fault: str = "waits"  # waits (for a slow rank), dilates (all of it), wires (traffic is slow)


def drawn(rng: Random) -> Job:
    """Any job: what is out there, as far as public descriptions of training jobs tell."""
    period = float(np.exp(rng.uniform(np.log(0.2), np.log(60.0))))
    pause = rng.random() < 0.5
    evaluates = rng.random() < 0.3
    saves_s = float(np.exp(rng.uniform(np.log(1.0), np.log(120.0))))
    rarely = int(10 * saves_s / period)  # nobody trains for less than ten times what saving takes
    return Job(
        period,
        jitter=rng.choice((0.003, 0.01, 0.02, 0.05, 0.1)),
        microsteps=rng.choice((1, 1, 2, 4, 8)),
        style=rng.choice(("end", "end", "overlap", "sharded", "alone")),
        uneven=rng.choice((0.0, 0.0, 0.0, 0.05, 0.12)),
        duty=rng.uniform(0.08, 0.5),
        computes=rng.choice((0.1, 0.5, 0.9)),
        checkpoint_every=max(rarely, rng.choice((20, 50, 100, 300))) if pause else 0,
        checkpoint_s=saves_s,
        writes=rng.random() < 0.4,
        evaluate_every=rng.choice((60, 150)) if evaluates else 0,
        evaluate_steps=rng.choice((5, 20, 50)),
        noise=rng.choice((0.0, 0.01, 0.05)),
        warm=rng.choice((0, 3, 10)),
    )


Pieces = list[tuple[float, float, float]]  # seconds, bytes a second, busy share of a thread


def step(job: Job, seconds: float, late: bool, slower: float) -> Pieces:
    """The pieces of one step that takes `seconds` without its fault."""
    talk, think = seconds * job.duty, seconds * (1 - job.duty)
    rate = 1e9 * job.period_s / seconds  # as many bytes every step, however long it takes
    extra = seconds * (slower - 1) if late else 0.0
    stretch = 1.0
    if job.fault == "dilates":
        stretch, extra = (slower if late else 1.0), 0.0
    wires = 1.0
    if job.fault == "wires" and late:
        wires, extra = 1 + extra / talk, 0.0
    pieces: Pieces = []
    each = think / job.microsteps
    for micro in range(job.microsteps):
        last = micro == job.microsteps - 1
        if job.style == "sharded":
            some = talk / job.microsteps
            pieces.append((some * wires * stretch, rate / wires / stretch, 0.05))
            pieces.append((each * 0.9 * stretch, 0.0, job.computes))
            pieces.append((each * 0.1 * stretch + (extra if last else 0), 0.0, 0.02))
        elif job.style == "overlap" and last:
            buckets = 6
            for _ in range(buckets):
                pieces.append((each / buckets * stretch, 0.0, job.computes))
                pieces.append(
                    (talk / buckets * wires * stretch, rate / wires / stretch, job.computes)
                )
            pieces.append((extra, 0.0, 0.02))
        else:
            pieces.append((each * 0.92 * stretch, 0.0, job.computes))
            pieces.append((each * 0.08 * stretch, 0.0, 0.02))
            if last:
                pieces.append((extra, 0.0, 0.02))
                if job.style != "alone":
                    pieces.append((talk * wires * stretch, rate / wires / stretch, 0.05))
                else:
                    pieces.append((talk * stretch, 0.0, 0.05))
    return pieces


def pieces(job: Job, seconds: float, rng: Random) -> Iterator[tuple[float, float, float]]:
    yield rng.uniform(0, 3) * min(job.period_s, 10), 0.0, 0.3
    now, number, wander = 0.0, 0, 0.0
    while now < seconds:
        if job.style == "silent":
            one = rng.expovariate(1.0)
            yield one, rng.choice((0.0, 1e8, 1e9)), rng.random()
            now += one
            continue
        number += 1
        wander = 0.8 * wander + rng.gauss(0, job.jitter * 0.6)
        length = job.period_s * float(
            np.exp(rng.gauss(0, job.jitter) + wander * 0.3 + rng.gauss(0, job.uneven))
        )
        if number <= job.warm:
            length *= 2.5
        late = now >= job.fault_s
        for piece in step(job, length, late, job.slower):
            yield piece
            now += piece[0]
        if job.checkpoint_every and number % job.checkpoint_every == 0:
            pause = job.checkpoint_s * rng.uniform(0.8, 1.2)
            yield pause, 5e8 if job.writes else 0.0, rng.choice((0.05, 0.9))
            now += pause
        if job.evaluate_every and number % job.evaluate_every == 0:
            for _ in range(job.evaluate_steps):
                one = job.period_s * 0.4 * float(np.exp(rng.gauss(0, job.jitter)))
                yield one * 0.9, 0.0, job.computes
                yield one * 0.1, 2e7, 0.05
                now += one


@dataclass(frozen=True, slots=True)
class Counted:
    """What a node's looks counted: `steps` from look to look, in seconds."""

    steps: Series
    sent: Series
    cpu: Series


def looked(job: Job, seconds: float, rng: Random, *, every_s: float = 0.1) -> Counted:
    """As `remote/sample_job.py` looks: at random moments within each stretch, sometimes late."""
    lengths, rates, busy = (np.array(row) for row in zip(*pieces(job, seconds, rng), strict=True))
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    count = int(seconds / every_s)
    draws = np.random.default_rng(rng.getrandbits(32))
    numbers = np.arange(1, count)
    at = (numbers - 0.8 * draws.random(len(numbers))) * every_s
    held_up = draws.random(len(at)) < 0.03
    at = at + np.where(held_up, draws.exponential(0.03, len(at)), 0.0)
    at = np.asarray(np.round(np.maximum.accumulate(at), 4), dtype=np.float64)
    sent = np.interp(at, edges, np.concatenate(([0.0], np.cumsum(lengths * rates))))
    cpu = np.interp(at, edges, np.concatenate(([0.0], np.cumsum(lengths * busy * 1e6))))
    more = draws.random(len(at) - 1) < 0.05
    noise = np.where(more, draws.exponential(20.0, len(at) - 1), 0.0) * sent[-1] / count * job.noise
    return Counted(np.diff(at), np.diff(sent) + noise + HEARTBEATS * np.diff(at), np.diff(cpu))
