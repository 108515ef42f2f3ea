"""Time in which a worker could have gone on and did not: input, garbage collection, checkpoints.

Nobody records them as operations; they are the waits that no operation explains, or one operation
that takes far longer than its like.  Where: before the first forward (input); anywhere, one worker
after the other (garbage collection); all at once, now and then (checkpoints).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.triage.cells import computations, whole_worker
from clusterctl.triage.damage import Blind, Clear, Damage, Judged, robust_sigma
from clusterctl.triage.operations import Floats, Integers, Timeline
from clusterctl.triage.schedule import FORWARD, Scope, scope
from clusterctl.triage.verdict import Cause, Suspect
from clusterctl.triage.whatif import Study
from clusterctl.triage.work import Microbatches

LEAST_SHARE = 0.02  # of a step: a shorter pause is not worth a change
LAUNCH_SHARE = 0.04  # of a step: launching the first kernels of a short step takes as long
SIGMAS = 8.0
AT_ONCE = 0.6  # of workers
SOMETIMES = 0.4  # of steps: what is more frequent is no checkpoint
MOMENT = 0.05  # of a step
BURST = 1 / 3  # of a worker's operations in a step: that is a slow worker, not a pause
ONE_RANK = 0.8  # of all pauses
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
    longer = outliers(
        done.took.take_s - expected(line, done.took.take_s, mb), computations(line), step_s
    )
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


def expected(line: Timeline, take: Floats, mb: Microbatches | None) -> Floats:
    """Of each operation, in its worker, with its microbatch's work."""
    usual = np.repeat(np.median(take, axis=1, keepdims=True), take.shape[1], axis=1)
    if mb is not None and mb.together > 0.5:
        for at, place in enumerate(mb.of.tolist()):
            if place >= 0:
                usual[at] *= np.exp(mb.work[place] - np.median(mb.work[place]))
    del line
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


# -------------------------------------------------------------------------------- judging them


def checkpoint(done: Study, found: Pauses) -> Judged:
    steps = len(done.line.steps)
    gap = np.zeros(steps)
    if found.gap_s is not None:
        gap = rare(found.gap_s, found.step_s)
    lead = found.lead_s.sum(axis=0)  # [step, DP rank]
    late = np.stack([rare(lead[:, dp], found.step_s) for dp in range(lead.shape[1])], axis=1)
    waited = (late > 0).mean(axis=1) >= AT_ONCE
    hit = (gap > 0) | waited | found.at_once
    if not hit.any() or hit.mean() > SOMETIMES:
        return Clear(Cause.CHECKPOINT, "at no time did all workers pause at once, now and then")
    held = np.where(found.at_once[None, :, None], found.held_s + found.longer_s, 0.0)
    held += np.where(waited[None, :, None], shared_out(found, late), 0.0)
    every = np.diff(np.flatnonzero(hit))
    when = [done.line.steps[at] for at in np.flatnonzero(hit)[:8]]
    told = f"all workers paused at once in {int(hit.sum())} of {steps} steps: {when}"
    if len(every) > 1 and every.std() <= 0.2 * every.mean():
        told += f", every {every.mean():.0f} steps"
    repaired = done.took.take_s
    longer = np.where(found.at_once[None, :, None], found.longer_s, 0.0)
    return Damage(
        Cause.CHECKPOINT,
        repaired_s=repaired - longer,
        held_s=held - longer,
        gap_s=gap,
        evidence=(told,),
    )


def rare(seconds: Floats, step_s: float) -> Floats:
    """What single steps have more of than most."""
    usual, sigma = quiet(seconds)
    over = seconds - usual
    found: Floats = np.where(over >= max(LEAST_SHARE * step_s, SIGMAS * sigma), over, 0.0)
    return found if (found > 0).mean() <= SOMETIMES else np.zeros_like(found)


def shared_out(found: Pauses, late: Floats) -> Floats:
    """The late begin of each step and DP rank, on the operations that began late."""
    total = found.lead_s.sum(axis=0)
    part: Floats = np.divide(late, total, out=np.zeros_like(late), where=total > 0)
    return found.lead_s * part


def data(done: Study, found: Pauses, written: Judged) -> Judged:
    """`written`: what checkpoints explain is no input."""
    if not len(found.head):
        return Blind(Cause.DATA, "no computation to wait for")
    lead = found.lead_s.copy()
    gap = np.zeros(len(done.line.steps)) if found.gap_s is None else found.gap_s.copy()
    if isinstance(written, Damage):
        explained = (
            written.held_s if written.held_s is not None else np.zeros_like(lead),
            written.gap_s if written.gap_s is not None else np.zeros_like(gap),
        )
        lead[found.head] = np.maximum(lead[found.head] - explained[0][found.head], 0.0)
        gap = np.maximum(gap - explained[1], 0.0)
    by_dp = lead.sum(axis=0)  # [step, DP rank]
    late = (by_dp.max(axis=1) + gap) / found.step_s
    told = (
        f"the first computation of a step waits for {late.mean():.1%} of a step (median "
        f"{np.median(late):.1%}, worst {late.max():.1%})"
    )
    if late.mean() < LAUNCH_SHARE:
        return Clear(Cause.DATA, told)
    return Damage(
        Cause.DATA,
        held_s=lead,
        gap_s=gap,
        suspects=late_loaders(done, by_dp, found.step_s),
        evidence=(told, f"in {(late > LEAST_SHARE).mean():.0%} of steps"),
    )


def late_loaders(done: Study, by_dp: Floats, step_s: float) -> tuple[Suspect, ...]:
    """DP ranks that wait for input when the others do not."""
    line = done.line
    if len(line.dps) < FEW:
        return ()
    over = by_dp - np.median(by_dp, axis=1, keepdims=True)
    often = (over > LEAST_SHARE * step_s).mean(axis=0)
    few = [int(dp) for dp in np.argsort(-over.mean(axis=0)) if often[dp] >= 0.5]
    if not few or len(few) > max(1, len(line.dps) // 4):
        return ()
    return tuple(
        Suspect(
            f"dp {line.dps[dp]} stage {line.stages[0]}",
            whole_worker(line, line.ranks[dp][0]),
            line.nodes[dp][0],
            1 + float(over[:, dp].mean()) / step_s,
            float(min(0.95, often[dp])),
            (
                (
                    f"its first computation begins {over[:, dp].mean():.3g} s later than its "
                    f"peers', in {often[dp]:.0%} of steps"
                ),
            ),
        )
        for dp in few
    )


def collection(done: Study, found: Pauses) -> Judged:
    """Garbage collection: pauses of single workers."""
    line = done.line
    alone = ~found.at_once[None, :, None]
    held, longer = np.where(alone, found.held_s, 0.0), np.where(alone, found.longer_s, 0.0)
    places, steps, dps = np.nonzero((held > 0) | (longer > 0))
    count = len(places)
    if count < FEW:
        return Clear(Cause.GC, f"{count} pauses of single workers in {len(line.steps)} steps")
    length = (held + longer)[places, steps, dps]
    who = Counter((int(dp), line.ops[int(at)].stage) for at, dp in zip(places, dps, strict=True))
    told = (
        f"{count} pauses of {np.median(length):.3g} s (median) in {len(set(steps.tolist()))} of "
        f"{len(line.steps)} steps, on {len(who)} workers"
    )
    return Damage(
        Cause.GC,
        repaired_s=done.took.take_s - longer,
        held_s=held,
        suspects=one_pauser(line, who, count),
        evidence=(told,),
    )


def one_pauser(line: Timeline, who: Counter[tuple[int, int]], count: int) -> tuple[Suspect, ...]:
    (cell, most), *_ = who.most_common(1)
    if len(line.dps) * len(line.stages) < FEW or most < ONE_RANK * count:
        return ()
    dp, stage = cell
    return (
        Suspect(
            f"dp {line.dps[dp]} stage {line.stages[stage]}",
            whole_worker(line, line.ranks[dp][stage]),
            line.nodes[dp][stage],
            1.0,
            min(0.95, most / count),
            (f"{most} of all {count} pauses are its",),
        ),
    )
