"""Which class pauses are of: input, garbage collection, checkpoints."""

from __future__ import annotations

from collections import Counter

import numpy as np

from clusterctl.triage.timeline.cells import whole_worker
from clusterctl.triage.timeline.damage import Blind, Clear, Damage, Judged
from clusterctl.triage.timeline.operations import Floats, Timeline
from clusterctl.triage.timeline.pauses import AT_ONCE, FEW, LEAST_SHARE, SIGMAS, Pauses, quiet
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.verdict import Cause, Suspect

LAUNCH_SHARE = 0.04  # of a step: launching the first kernels of a short step takes as long
SOMETIMES = 0.4  # of steps: what is more frequent is no checkpoint
ONE_RANK = 0.8  # of all pauses


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
