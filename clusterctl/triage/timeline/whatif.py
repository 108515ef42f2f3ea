"""How much of a job's time its stragglers cost, by operation, DP rank, stage and worker.

Figures as published: S = T / T_ideal (eq. 1), S of a part keeps only that part as it was (eq. 2
and 4; of a worker the lesser of its DP rank's and its stage's), M_W repairs the slowest 3 % of
workers (eq. 5), M_S the last stage ("Understanding Stragglers in Large Model Training Using
What-if Analysis", OSDI 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clusterctl.triage.timeline.operations import Floats, Integers, Timeline
from clusterctl.triage.timeline.replay import Durations, observed, replay
from clusterctl.triage.timeline.schedule import Schedule, Scope, scope

WORST_SHARE = 0.03  # of workers, repaired for M_W
MEAN = frozenset({"gc", "optimizer", "first-op"})  # local, and part of the work
MANY = 96  # parts to keep one by one; more are sampled by step
STEPS_OF_MANY = 16


@dataclass(frozen=True, slots=True)
class Study:
    """A job's steps as they were and as they could have been.

    `ideal_s`: [op, step, DP rank], work shared out evenly.  `step_s`, `ideal_step_s`: of each step,
    without the waits that no operation explains.  `by_*`: S of each part kept as it was.
    """

    line: Timeline
    plan: Schedule
    took: Durations
    ideal_s: Floats
    step_s: Floats
    ideal_step_s: Floats
    by_operation: Mapping[str, float]
    by_dp: Floats
    by_stage: Floats
    m_w: float
    m_s: float

    @property
    def slowdown(self) -> float:
        return float(self.step_s.mean() / self.ideal_step_s.mean())

    @property
    def by_worker(self) -> Floats:
        """[DP rank, stage]"""
        return np.minimum.outer(self.by_dp, self.by_stage)

    def share(self, repaired: Floats) -> float:
        """Of the lost time, what these durations would give back."""
        lost = self.step_s.mean() - self.ideal_step_s.mean()
        if lost <= 0:
            return 0.0
        return float((self.step_s.mean() - replay(self.plan, repaired).mean()) / lost)


def study(line: Timeline, plan: Schedule) -> Study | None:
    """None where the steps have no length: nothing to compare with."""
    took = observed(line, plan)
    ideal = evenly(line, took.take_s)
    step_s = replay(plan, took.take_s)
    ideal_step_s = replay(plan, ideal)
    if not (ideal_step_s > 0).all() or not (step_s > 0).all():
        return None
    stage_of = np.array([op.stage for op in line.ops])
    by_dp, by_stage = kept(line, plan, took.take_s, ideal, stage_of)
    base = Study(
        line, plan, took, ideal, step_s, ideal_step_s, {}, by_dp, by_stage, m_w=0.0, m_s=0.0
    )
    last = took.take_s.copy()
    last[stage_of == len(line.stages) - 1] = ideal[stage_of == len(line.stages) - 1]
    return Study(
        line,
        plan,
        took,
        ideal,
        step_s,
        ideal_step_s,
        by_kind(line, plan, took.take_s, ideal),
        by_dp,
        by_stage,
        m_w=base.share(worst_repaired(base, worst_workers(base))),
        m_s=base.share(last) if len(line.stages) > 1 else 0.0,
    )


def evenly(line: Timeline, take: Floats) -> Floats:
    """Work as its mean, transfers (which have a tail) as their median; over all of one kind."""
    ideal = np.empty_like(take)
    for kind in {op.kind for op in line.ops}:
        places = line.of(kind)
        values = take[places]
        work = scope(kind) is Scope.COMPUTE or kind in MEAN
        ideal[places] = values.mean() if work else np.median(values)
    return ideal


def kept(
    line: Timeline, plan: Schedule, take: Floats, ideal: Floats, stage_of: Integers
) -> tuple[Floats, Floats]:
    """S of each DP rank and of each stage."""
    steps = slice(None)
    if len(line.dps) + len(line.stages) > MANY:
        every = -(-len(line.steps) // STEPS_OF_MANY)
        steps = slice(None, None, every)
    take, ideal = take[:, steps], ideal[:, steps]
    best = replay(plan, ideal).mean()
    mixed = ideal.copy()
    by_dp = np.empty(len(line.dps))
    for dp in range(len(line.dps)):
        mixed[:, :, dp] = take[:, :, dp]
        by_dp[dp] = replay(plan, mixed).mean() / best
        mixed[:, :, dp] = ideal[:, :, dp]
    by_stage = np.empty(len(line.stages))
    for stage in range(len(line.stages)):
        here = stage_of == stage
        mixed[here] = take[here]
        by_stage[stage] = replay(plan, mixed).mean() / best
        mixed[here] = ideal[here]
    return by_dp, by_stage


def by_kind(line: Timeline, plan: Schedule, take: Floats, ideal: Floats) -> dict[str, float]:
    best = replay(plan, ideal).mean()
    found = {}
    for kind in sorted({op.kind for op in line.ops}):
        places = line.of(kind)
        mixed = ideal.copy()
        mixed[places] = take[places]
        found[kind] = float(replay(plan, mixed).mean() / best)
    return found


def worst_workers(done: Study, least: int = 1) -> list[tuple[int, int]]:
    """(DP rank, stage) of the slowest 3 %, at least `least`, slowest first."""
    worker = done.by_worker
    count = max(least, int(np.ceil(worker.size * WORST_SHARE)))
    order = np.argsort(-worker, axis=None, kind="stable")[:count]
    return [(int(at) // worker.shape[1], int(at) % worker.shape[1]) for at in order]


def worst_repaired(done: Study, workers: list[tuple[int, int]]) -> Floats:
    stage_of = np.array([op.stage for op in done.line.ops])
    repaired = done.took.take_s.copy()
    for dp, stage in workers:
        here = stage_of == stage
        repaired[here, :, dp] = done.ideal_s[here, :, dp]
    return repaired
