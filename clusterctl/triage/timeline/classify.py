"""Which class explains most of what a job loses: each is repaired alone, in a replay.

The class whose repair alone gives back most wins.  What only one would cost an ideal job tells
whether it is there at all, for two that hide behind each other give back little each.  Shares are
what would be given back; those of worker and stage are M_W and M_S as published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterctl.triage.timeline import cells, moves, pause_classes, pauses, work
from clusterctl.triage.timeline.damage import Blind, Clear, Damage, Judged
from clusterctl.triage.timeline.operations import Floats, Timeline
from clusterctl.triage.timeline.replay import replay
from clusterctl.triage.timeline.schedule import schedule
from clusterctl.triage.timeline.whatif import Study, study, worst_repaired, worst_workers
from clusterctl.triage.verdict import Cause, RuledOut, Triage

# Of the step time.  A slow worker or link stays, so it shows from little; what comes and goes has
# to cost more than any job's own unrest.
LEAST_GAIN = {Cause.WORKER: 0.01, Cause.HOST: 0.01, Cause.NETWORK: 0.01, Cause.CONGESTION: 0.03}
OTHER_GAIN = 0.02
# The published ideal takes mean work and median transfers, so what slows many has a part in it.
IN_THE_IDEAL = frozenset({Cause.GC, Cause.CHECKPOINT, Cause.DATA, Cause.NETWORK, Cause.CONGESTION})
LEAST_STEPS = 3
UNEXPLAINED = 1.15
MOST_TIMES = 1000.0  # slower: then it stands, and the figure says no more
RESAMPLED = 200
SEED = 7


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds, by step: what repairing only this gives back, what only this would cost."""

    damage: Damage
    back_s: Floats
    alone_s: Floats

    @property
    def both_s(self) -> Floats:
        found: Floats = (self.back_s + self.alone_s) / 2
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """The answer, and what it rests on (None: nothing could be replayed)."""

    triage: Triage
    study: Study | None


def classify(line: Timeline | None, unseen: Sequence[str] = ()) -> Told:
    if line is None:
        return Told(nothing("no step was seen whole", unseen), None)
    unseen = tuple(dict.fromkeys((*unseen, *line.unseen)))
    if len(line.steps) < LEAST_STEPS:
        why = f"{len(line.steps)} whole steps; at least {LEAST_STEPS} tell chance from habit"
        return Told(nothing(why, unseen), None)
    plan = schedule(line)
    if plan is None:
        why = "operations wait for each other in a circle: clocks or numbering cannot be trusted"
        return Told(nothing(why, unseen), None)
    done = study(line, plan)
    if done is None:
        return Told(nothing("no computation in it takes any time", unseen), None)
    return Told(replace(weighed(done, tuple(looked(done))), unseen=tuple(unseen)), done)


def nothing(why: str, unseen: Sequence[str]) -> Triage:
    return Triage(Cause.UNKNOWN, evidence=(why,), unseen=tuple(unseen))


def looked(done: Study) -> Iterable[Judged]:
    mb = work.microbatches(done)
    uneven = work.sequence(done, mb)
    paused = pauses.pauses(done, mb)
    if isinstance(uneven, Damage) and uneven.repaired_s is not None and mb is not None:
        found = cells.cells(done, uneven.repaired_s - paused.longer_s, mb.luck)
    else:
        found = cells.cells(done, done.took.take_s - paused.longer_s)
    written = pause_classes.checkpoint(done, paused)
    yield from cells.judge(done, found)
    yield work.stages(done)
    yield uneven
    yield pause_classes.data(done, paused, written)
    yield pause_classes.collection(done, paused)
    yield written
    yield from moves.judge(done)


def weighed(done: Study, judged: Sequence[Judged]) -> Triage:
    hurt = [one for one in judged if isinstance(one, Damage)]
    held = sum((one.held_s for one in hurt if one.held_s is not None), np.zeros(()))
    gap = sum((one.gap_s for one in hurt if one.gap_s is not None), np.zeros(()))
    step_s = replay(done.plan, done.took.take_s, given(held)) + gap
    costs = [cost(done, one, step_s, held, gap) for one in hurt]
    lost = float((step_s - done.ideal_step_s).mean())
    real = [one for one in costs if float(one.both_s.mean()) >= least(one) * float(step_s.mean())]
    slowdown = float(step_s.mean() / done.ideal_step_s.mean())
    shares = {one.damage.cause: float(one.back_s.mean()) / lost for one in costs if lost > 0}
    shares = {**shares, **published(done, hurt)}
    if not real:
        return healthy(done, judged, costs, shares)
    best = max(real, key=lambda one: float(one.back_s.mean()))
    if best.damage.cause in IN_THE_IDEAL:
        back = float(best.back_s.mean())
        mended = max(float(step_s.mean()) - back, float(done.ideal_step_s.mean()) / MOST_TIMES)
        slowdown = max(slowdown, float(step_s.mean()) / mended)
        shares[best.damage.cause] = back / max(lost, back) if back > 0 else 0.0
    return Triage(
        best.damage.cause,
        slowdown,
        shares,
        suspects=best.damage.suspects,
        ruled_out=tuple(ruled_out(judged, costs, best, shares, float(step_s.mean()))),
        confidence=confidence(real, best, step_s),
        evidence=best.damage.evidence,
    )


def least(one: Cost) -> float:
    return LEAST_GAIN.get(one.damage.cause, OTHER_GAIN)


def given(held: Floats) -> Floats | None:
    return held if held.shape else None


def cost(done: Study, one: Damage, step_s: Floats, held: Floats, gap: Floats) -> Cost:
    take = done.took.take_s
    repaired = take if one.repaired_s is None else one.repaired_s
    other_held = held - one.held_s if one.held_s is not None else held
    other_gap = gap - one.gap_s if one.gap_s is not None else gap
    without = replay(done.plan, repaired, given(other_held)) + other_gap
    worse = np.divide(take, repaired, out=np.ones_like(take), where=repaired > 0)
    alone = replay(done.plan, done.ideal_s * worse, one.held_s) - done.ideal_step_s
    return Cost(one, step_s - without, alone + (one.gap_s if one.gap_s is not None else 0.0))


def published(done: Study, hurt: Iterable[Damage]) -> dict[Cause, float]:
    """M_W and M_S, with all suspects where they are more than 3 % of the workers."""
    slow = sum(len(one.suspects) for one in hurt if one.cause is Cause.WORKER)
    workers = worst_workers(done, least=max(1, slow))
    share = done.share(worst_repaired(done, workers)) if slow > 1 else done.m_w
    return {Cause.WORKER: share, Cause.STAGE: done.m_s}


def healthy(
    done: Study,
    judged: Sequence[Judged],
    costs: Sequence[Cost],
    shares: dict[Cause, float],
) -> Triage:
    """`slowdown` is told against transfers as they usually are, each in its own place.

    The published ideal has one time for all of a kind, though the stage that holds the embedding
    moves twice as much: by nature, which is no loss.
    """
    mean = float(done.step_s.mean())
    slowdown = max(1.0, mean / float(replay(done.plan, usual_transfers(done)).mean()))
    if not compared(judged):
        told = f"{len(done.line.steps)} steps of {mean:.4g} s, even among themselves"
        alone = "one worker alone: nobody does the same work, so it may be slow in every step"
        return Triage(
            Cause.UNKNOWN,
            slowdown,
            shares,
            ruled_out=tuple(ruled_out(judged, costs, None, shares, mean)),
            evidence=(told, alone),
            next_step="give it a file of every rank",
        )
    cause = Cause.UNKNOWN if slowdown >= UNEXPLAINED else Cause.HEALTHY
    told = (
        f"{len(done.line.steps)} steps of {mean:.4g} s, {len(done.line.dps)} DP ranks, "
        f"{len(done.line.stages)} stages; evenly shared work would take {mean / slowdown:.4g} s"
    )
    fits = "what is lost fits no class: no worker, stage, transfer or pause stands out"
    return Triage(
        cause,
        slowdown,
        shares,
        ruled_out=tuple(ruled_out(judged, costs, None, shares, mean)),
        confidence=min(0.99, 1 - 0.5 ** len(done.line.steps)),
        evidence=(told, fits) if cause is Cause.UNKNOWN else (told,),
    )


def compared(judged: Sequence[Judged]) -> bool:
    """Whether some worker was held against another, of its own stage or of another."""
    blind = {one.cause for one in judged if isinstance(one, Blind)}
    return not {Cause.WORKER, Cause.STAGE} <= blind


def usual_transfers(done: Study) -> Floats:
    take = done.ideal_s.copy()
    moving = np.flatnonzero(done.plan.moves)
    take[moving] = np.median(done.took.take_s[moving], axis=(1, 2), keepdims=True)
    return take


def ruled_out(
    judged: Iterable[Judged],
    costs: Iterable[Cost],
    best: Cost | None,
    shares: dict[Cause, float],
    step_s: float,
) -> Iterable[RuledOut]:
    by_cause = {one.damage.cause: one for one in costs}
    for one in judged:
        if best is not None and one.cause is best.damage.cause:
            continue
        match one:
            case Clear(cause, why):
                yield RuledOut(cause, why, shares.get(cause))
            case Blind(cause, why):
                yield RuledOut(cause, f"cannot be told from this trace: {why}")
            case Damage(cause, evidence=told):
                gain = float(by_cause[cause].both_s.mean()) / step_s
                first = told[0] if told else "; ".join(each.what for each in one.suspects[:3])
                yield RuledOut(cause, f"costs {gain:.1%} of a step: {first}", shares.get(cause))


def confidence(real: Sequence[Cost], best: Cost, step_s: Floats) -> float:
    """How often this class stays first when the steps are drawn anew."""
    pick = np.random.default_rng(SEED).integers(0, len(step_s), (RESAMPLED, len(step_s)))
    means = np.stack([one.back_s[pick].mean(axis=1) for one in real])
    at = next(number for number, one in enumerate(real) if one is best)
    first = (means.argmax(axis=0) == at) & (means[at] >= least(best) * step_s[pick].mean(axis=1))
    sure = [each.confidence for each in best.damage.suspects[:1]]
    return float(min([0.99, 1 - 0.5 ** len(step_s), float(first.mean()), *sure]))
