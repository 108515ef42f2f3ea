"""Time in which a worker could have gone on and did not: input, garbage collection, checkpoints.

Nobody records them as operations; they are the waits that no operation explains, or one operation
that takes far longer than its like.  Where: before the first forward (input); anywhere, one worker
after the other (garbage collection); all at once, now and then (checkpoints).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.triage.timeline.cells import computations
from clusterctl.triage.timeline.damage import robust_sigma
from clusterctl.triage.timeline.operations import Floats, Integers, Timeline
from clusterctl.triage.timeline.schedule import FORWARD, Scope, scope
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.timeline.work import Microbatches

LEAST_SHARE = 0.02  # of a step: a shorter pause is not worth a change
SIGMAS = 8.0
AT_ONCE = 0.6  # of workers
MOMENT = 0.05  # of a step
BURST = 1 / 3  # of a worker's operations in a step: that is a slow worker, not a pause
FEW = 3
QUIET_WIDTH, QUIET_SHIFT = 1.0282, 0.2533  # from the 10th to the 40th percentile of a normal, ...


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds.  `lead_s`: waits before and at the first computation, of operations `head`;
    `held_s`, `longer_s`: pauses before and within other operations; all [op, step, DP rank].

    `gap_s`: between steps, from the end of one to the begin of the next, a step; None: the trace
    counts each step's time from its own begin.
    """

    head: Integers
    lead_s: Floats
    held_s: Floats
    longer_s: Floats
    gap_s: Floats | None
    step_s: float
    at_once: NDArray[np.bool_]  # [step]: nearly every worker paused, at the same moment


def pauses(done: Study, mb: Microbatches | None) -> Pauses:
    line, wait = done.line, done.took.wait_s
    step_s = float(np.median(done.step_s))
    head = first_operations(line)
    lead = np.zeros_like(wait)
    usual = usual_wait(line, wait, head)
    lead[head] = np.maximum(wait[head] - usual, 0.0)
    held = outliers(wait, pausable(line, head), step_s)
    over = done.took.take_s - expected(done.took.take_s, mb)
    longer = outliers(over, computations(line), step_s)
    held, longer = without_bursts(line, held, longer)
    return Pauses(
        head, lead, held, longer, gaps(line), step_s, together(line, held, longer, step_s)
    )


def first_operations(line: Timeline) -> Integers:
    """Of the stage that reads the input, up to its first computation."""
    forward = [int(at) for at in line.of(FORWARD)] or computations(line)
    if not forward:
        return np.empty(0, dtype=np.int64)
    first = min(line.ops[at].stage for at in forward)
    begins = {at: float(np.median(line.start_s[at])) for at in forward}
    lead = min((at for at in forward if line.ops[at].stage == first), key=begins.__getitem__)
    found = [
        at
        for at, op in enumerate(line.ops)
        if op.stage == first
        and scope(op.kind) is not Scope.TRANSFER
        and float(np.median(line.start_s[at])) <= begins[lead]
    ]
    return np.array(found, dtype=np.int64)


def pausable(line: Timeline, head: Integers) -> list[int]:
    """Operations whose begin is the worker's own doing; a receive waits for somebody else."""
    first = set(head.tolist())
    return [
        at
        for at, op in enumerate(line.ops)
        if at not in first
        and (
            scope(op.kind) is Scope.COMPUTE
            or op.kind.endswith("-send")
            or op.kind in {"optimizer", "gc"}
        )
    ]


def usual_wait(line: Timeline, wait: Floats, head: Integers) -> float:
    """What lies between two computations anyhow: a launch."""
    others = pausable(line, head)
    return float(np.median(wait[others])) if others else 0.0


def expected(take: Floats, mb: Microbatches | None) -> Floats:
    """Of each operation, in its worker, with its microbatch's work."""
    usual = np.repeat(np.median(take, axis=1, keepdims=True), take.shape[1], axis=1)
    if mb is not None and mb.together > 0.5:
        for at, place in enumerate(mb.of.tolist()):
            if place >= 0:
                usual[at] *= np.exp(mb.work[place] - np.median(mb.work[place]))
    return usual


def outliers(values: Floats, places: list[int], step_s: float) -> Floats:
    """What is beyond the usual by far, else 0."""
    found = np.zeros_like(values)
    for at in places:
        usual, sigma = quiet(values[at])
        over = values[at] - usual
        found[at] = np.where(over >= max(LEAST_SHARE * step_s, SIGMAS * sigma), over, 0.0)
    return found


def quiet(values: Floats) -> tuple[float, float]:
    """(usual, sigma) of values of which up to half are pauses, told by their lower part alone."""
    low, high = np.quantile(values, (0.1, 0.4))
    sigma = float(high - low) / QUIET_WIDTH
    return float(high) + QUIET_SHIFT * sigma, sigma


def without_bursts(line: Timeline, held: Floats, longer: Floats) -> tuple[Floats, Floats]:
    held, longer = held.copy(), longer.copy()
    stage_of = np.array([op.stage for op in line.ops])
    for stage in range(len(line.stages)):
        here = stage_of == stage
        hit = (held[here] > 0) | (longer[here] > 0)
        work = sum(1 for at in computations(line) if line.ops[at].stage == stage)
        many = hit.sum(axis=0) > max(2.0, BURST * work)
        held[here] = np.where(many, 0.0, held[here])
        longer[here] = np.where(many, 0.0, longer[here])
    return held, longer


def gaps(line: Timeline) -> Floats | None:
    """[step]; the first step has the usual gap before it, for nobody saw what was before."""
    begin, end = line.start_s.min(axis=(0, 2)), line.end_s.max(axis=(0, 2))
    if len(begin) < FEW or (begin[1:] < end[:-1] - 0.5 * (end - begin)[:-1]).any():
        return None
    numbers = np.diff(np.array(line.steps))
    found = np.maximum(begin[1:] - end[:-1], 0.0)
    usual = float(np.quantile(found[numbers == 1], 0.3)) if (numbers == 1).any() else 0.0
    found[numbers != 1] = usual  # steps between them were left out
    return np.concatenate([[usual], found])


def together(line: Timeline, held: Floats, longer: Floats, step_s: float) -> NDArray[np.bool_]:
    """Steps in which nearly every worker paused, at the same moment."""
    stage_of = np.array([op.stage for op in line.ops])
    paused = held + longer
    hit = np.stack([(paused[stage_of == st] > 0).any(axis=0) for st in range(len(line.stages))])
    many: NDArray[np.bool_] = hit.mean(axis=(0, 2)) >= AT_ONCE
    for step in np.flatnonzero(many):
        places, dps = np.nonzero(paused[:, step])
        when = line.start_s[places, step, dps] - held[places, step, dps]
        many[step] = bool(robust_sigma(when) <= MOMENT * step_s)
    if many.sum() < AT_ONCE * hit.any(axis=(0, 2)).sum():
        return np.zeros_like(many)  # where single workers pause as often, some meet by chance
    return many
