"""Whether transfers are slow: one group's or link's always (network), everyone's at times
(congestion).

A transfer is what is left of an operation once all who take part have begun.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from clusterctl.triage.timeline.cells import whole_worker
from clusterctl.triage.timeline.damage import Blind, Clear, Damage, Judged, spread
from clusterctl.triage.timeline.operations import Floats
from clusterctl.triage.timeline.schedule import Scope, scope
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.verdict import Cause, Suspect

LEAST_S = 2e-5  # shorter transfers are all latency
SLOW = np.log(1.3)
SLOW_OF_TWO = np.log(1.5)
# Unlike by nature: only one end may hold the embedding, which is as much again as a stage's own;
# some links stay in a node.
SLOW_END = np.log(3.0)
SIGMAS = 4.0
OWN_SPREAD = 0.03  # of medians of healthy groups' transfers
PEERS = 3
LIFTED = np.log(1.4)
EVERYONE = 0.6  # of units
QUIET = 0.2  # quantile


@dataclass(frozen=True, slots=True)
class Unit:
    """Operations of one kind that use the same wires: `dp` -1 for a group over all DP ranks.

    `ends`: the stages at both ends, twice the same for a group.
    """

    kind: str
    dp: int
    ends: tuple[int, int]
    ops: tuple[int, ...]


def units(done: Study) -> list[Unit]:
    line, plan = done.line, done.plan
    found: dict[tuple[str, int, tuple[int, int]], list[int]] = defaultdict(list)
    for sender, receiver in plan.links:
        ends = (line.ops[sender].stage, line.ops[receiver].stage)
        for dp in range(len(line.dps)):
            found[line.ops[sender].kind, dp, ends].append(sender)
    for at, op in enumerate(line.ops):
        if scope(op.kind) is Scope.DP and len(line.dps) > 1:
            found[op.kind, -1, (op.stage, op.stage)].append(at)
    made = (Unit(kind, dp, ends, tuple(ops)) for (kind, dp, ends), ops in found.items())
    return [unit for unit in made if np.median(seconds(done, unit)) >= LEAST_S]


def seconds(done: Study, unit: Unit) -> Floats:
    """[op, step]; of a group over DP ranks, the median rank's."""
    taken, ops = done.took.take_s, list(unit.ops)
    found: Floats = np.median(taken[ops], axis=2) if unit.dp < 0 else taken[ops, :, unit.dp]
    return np.maximum(found, 1e-9)


def judge(done: Study) -> tuple[Judged, Judged]:
    """(network, congestion)"""
    found = units(done)
    if not found:
        why = "no transfer long enough to be judged"
        return Blind(Cause.NETWORK, why), Blind(Cause.CONGESTION, why)
    return network(done, found), congestion(done, found)


# ------------------------------------------------------------------------------------ network


def network(done: Study, found: list[Unit]) -> Judged:
    """Each unit against others of its kind, by the median of its transfers."""
    together: dict[tuple[object, ...], list[Unit]] = defaultdict(list)
    for unit in found:
        together[company(done, unit)].append(unit)
    slow: list[tuple[Unit, float]] = []
    worst = 0.0
    judged = 0
    for alike in together.values():
        same = np.array([level(done, unit) for unit in alike])
        if len(same) < (2 if alike[0].dp < 0 else PEERS):
            continue
        judged += len(same)
        usual = float(np.sort(same)[(len(same) - 1) // 2])
        sigma = np.hypot(OWN_SPREAD, spread(same[:, None]) if len(same) > PEERS else 0.0)
        worst = max(worst, float(same.max()) - usual)
        for unit, own in zip(alike, same.tolist(), strict=True):
            over = own - usual
            if over >= max(limit(done, unit, len(same)), SIGMAS * sigma):
                slow.append((unit, over))
    if not judged:
        return Blind(Cause.NETWORK, "no two groups or links of a kind to compare")
    if not slow:
        return Clear(
            Cause.NETWORK,
            f"the slowest link or group takes {np.expm1(worst):.0%} longer than its like",
        )
    repaired = done.took.take_s.copy()
    for unit, over in slow:
        mend(done, unit, repaired, np.exp(-over))
    return Damage(Cause.NETWORK, repaired, suspects=tuple(ends_of(done, slow)))


def company(done: Study, unit: Unit) -> tuple[object, ...]:
    """Equal for units of a kind that should take as long.

    Links between the same stages in other DP ranks: some stages share a node, others do not.  Too
    few of these: all links of the kind.  Groups of stages that lie alike in the pipeline.
    """
    if unit.dp < 0:
        return unit.kind, at_end(done, unit)
    return (unit.kind, unit.ends) if len(done.line.dps) >= PEERS else (unit.kind,)


def at_end(done: Study, unit: Unit) -> bool:
    """The first and the last stage hold the embedding, so their groups move more."""
    return unit.ends[0] in {0, len(done.line.stages) - 1}


def limit(done: Study, unit: Unit, peers: int) -> float:
    if (unit.dp < 0 and at_end(done, unit)) or (unit.dp >= 0 and len(done.line.dps) < PEERS):
        return float(SLOW_END)
    return float(SLOW if peers >= PEERS else SLOW_OF_TWO)


def level(done: Study, unit: Unit) -> float:
    """The ln of its usual time; persistent, so that an episode does not make a link slow."""
    return float(np.median(np.log(np.median(seconds(done, unit), axis=0))))


def mend(done: Study, unit: Unit, repaired: Floats, factor: Floats | float) -> None:
    """In place: an operation and, of a link, what its other end waits for."""
    other = dict(done.plan.links)
    for at in unit.ops:
        if unit.dp < 0:
            repaired[at] *= np.reshape(factor, (-1, 1))
        else:
            repaired[at, :, unit.dp] *= factor
            repaired[other[at], :, unit.dp] *= factor


def ends_of(done: Study, slow: list[tuple[Unit, float]]) -> list[Suspect]:
    """A worker whose links are all slow, else the link, else the group."""
    line = done.line
    links = [(unit, over) for unit, over in slow if unit.dp >= 0]
    touched = Counter((unit.dp, stage) for unit, _ in links for stage in set(unit.ends))
    pairs = {(unit.dp, tuple(sorted(unit.ends))) for unit, _ in links}
    found = []
    told: set[int] = set()  # stages whose slowness a worker or a link explains, or their group
    for (dp, stage), _ in touched.most_common():
        its = {pair for pair in pairs if pair[0] == dp and stage in pair[1]}
        if len(its) < 2:
            continue
        over = max(one for unit, one in links if unit.dp == dp and stage in unit.ends)
        found.append(worker(done, dp, stage, over, len(its)))
        told.add(stage)
        pairs -= its
    for dp, ends in sorted(pairs):
        told.add(ends[0])
        over = max(one for unit, one in links if unit.dp == dp and tuple(sorted(unit.ends)) == ends)
        ranks = [rank for stage in ends for rank in whole_worker(line, line.ranks[dp][stage])]
        found.append(
            Suspect(
                f"dp {line.dps[dp]} stage {line.stages[ends[0]]}-{line.stages[ends[1]]}",
                tuple(ranks),
                ",".join(dict.fromkeys(filter(None, (line.nodes[dp][one] for one in ends)))),
                float(np.exp(over)),
                0.9,
                (f"transfers between these stages take {np.exp(over):.2f} times their peers'",),
            )
        )
    for unit, over in slow:
        if unit.dp < 0 and unit.ends[0] not in told:
            told.add(unit.ends[0])
            found.append(group(done, unit, over))
    return found


def worker(done: Study, dp: int, stage: int, over: float, links: int) -> Suspect:
    line = done.line
    return Suspect(
        f"dp {line.dps[dp]} stage {line.stages[stage]}",
        whole_worker(line, line.ranks[dp][stage]),
        line.nodes[dp][stage],
        float(np.exp(over)),
        0.95,
        (
            (
                f"all {links} links of it are slow, up to {np.exp(over):.2f} times their peers': "
                "what they share is this worker's NIC"
            ),
        ),
    )


def group(done: Study, unit: Unit, over: float) -> Suspect:
    line = done.line
    stage = unit.ends[0]
    ranks = [rank for row in line.ranks for rank in whole_worker(line, row[stage])]
    return Suspect(
        f"DP group of stage {line.stages[stage]}",
        tuple(ranks),
        "",
        float(np.exp(over)),
        0.7,
        (
            (
                f"its {unit.kind} takes {np.exp(over):.2f} times the other stages'; which of its "
                "members cannot be told from one group"
            ),
        ),
    )


# --------------------------------------------------------------------------------- congestion


def congestion(done: Study, found: list[Unit]) -> Judged:
    """Steps in which nearly all units are slower than in their own quiet times."""
    lifts = np.stack([lift(done, unit) for unit in found])  # [unit, step]
    level = np.median(lifts, axis=0)
    hit = ((lifts >= LIFTED).mean(axis=0) >= EVERYONE) & (level >= LIFTED)
    told = (
        f"in {int(hit.sum())} of {len(hit)} steps at least {EVERYONE:.0%} of {len(found)} groups "
        f"and links were {np.expm1(LIFTED):.0%} slower than in their quiet times"
    )
    if not hit.any():
        return Clear(Cause.CONGESTION, told)
    repaired = done.took.take_s.copy()
    for unit, own in zip(found, lifts, strict=True):
        mend(done, unit, repaired, np.exp(-np.where(hit, np.maximum(own, 0.0), 0.0)))
    worst = float(np.exp(level[hit].max()))
    return Damage(
        Cause.CONGESTION,
        repaired,
        evidence=(told, f"up to {worst:.1f} times at once, so it is what they share"),
    )


def lift(done: Study, unit: Unit) -> Floats:
    """The ln of each step's mean over the unit's quiet level, [step]."""
    taken = seconds(done, unit)
    quiet = np.quantile(taken, QUIET, axis=1, keepdims=True)
    quiet = np.minimum(quiet, np.median(quiet) * 1.5)
    found: Floats = np.log((taken / quiet).mean(axis=0))
    return found
