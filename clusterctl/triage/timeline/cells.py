"""Whether one worker, or one node, computes slower than those that do the same work.

A worker's peers hold the same stage in other DP ranks.  Its score is the median over steps of
ln(time computed / peers' median), without what long sequences and single pauses explain: one slow
step does not move it, a slow accelerator does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.triage.timeline.damage import Blind, Clear, Damage, Judged, spread
from clusterctl.triage.timeline.operations import Floats, Timeline
from clusterctl.triage.timeline.schedule import Scope, scope
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.verdict import Cause, Suspect

# What healthy accelerators of one kind differ by: 0.13 to 0.75 % on GEMMs of eight A100
# (microsoft/superbench-results), up to 0.8 % between workers of the published job traces.
OWN_SPREAD = 0.008
BELIEVED = 6.0  # workers that this counts for
UNTOLD = 4  # workers: among as few, a slow one is as likely as the spread that would excuse it
LEAST_EFFECT = 0.03  # ln; smaller is not worth a swap
SIGMAS = 4.0
FAR_EFFECT, ALWAYS, LEAST_STEPS = 0.3, 0.9, 8
SHARED_STEPS = 20  # steps that the other workers' scatter counts for: of few, one's own is luck
PERSISTS = 0.6  # of steps
HOST_SHARE = 0.75  # of a node's workers
NODE_RANKS = 8  # where nobody says which ranks share a node


@dataclass(frozen=True, slots=True)
class Cells:
    """[DP rank, stage]: `effect` ln of the slowdown, `persists` share of steps, `z` robust."""

    effect: Floats
    persists: Floats
    z: Floats
    by_step: Floats  # [step, DP rank, stage]
    sigma: float

    @property
    def always_last(self) -> NDArray[np.bool_]:
        """Far behind in nearly every step: whatever the scatter, the same one would not be."""
        steps, dps, _ = self.by_step.shape
        last = (self.by_step >= self.by_step.max(axis=1, keepdims=True)).mean(axis=0)
        far: NDArray[np.bool_] = (
            (self.effect >= FAR_EFFECT) & (self.persists >= ALWAYS) & (last >= ALWAYS)
        )
        enough = steps >= LEAST_STEPS and dps > 2
        return far if enough else np.zeros_like(far)

    @property
    def slow(self) -> list[tuple[int, int]]:
        """Slowest first."""
        found = (self.effect >= LEAST_EFFECT) & (self.z >= SIGMAS) & (self.persists >= PERSISTS)
        found |= self.always_last
        where = [(int(dp), int(stage)) for dp, stage in np.argwhere(found)]
        return sorted(where, key=lambda cell: -float(self.effect[cell]))


def cells(done: Study, take: Floats, luck: float = 0.0) -> Cells:
    """`take`: durations, without single pauses and, where known, what microbatches differ by.

    `luck`: sigma of what a DP rank's share of uneven microbatches may differ by in all steps.
    """
    line = done.line
    dps, stages = len(line.dps), len(line.stages)
    by_step = np.zeros((len(line.steps), dps, stages))
    for stage in range(stages):
        here = [at for at in computations(line) if line.ops[at].stage == stage]
        if not here:
            continue
        logs = np.log(np.maximum(take[here].sum(axis=0), 1e-9))
        by_step[:, :, stage] = logs - np.median(logs, axis=1, keepdims=True)
    effect = np.median(by_step, axis=0)
    lower = np.sort(effect, axis=0)[(dps - 1) // 2]  # of two, the faster is the healthy one
    effect = effect - lower
    by_step = by_step - lower
    sigma = own_spread(effect)
    scatter = 1.4826 * np.median(np.abs(by_step - effect), axis=0)
    steps = len(line.steps)
    usual = float(np.median(scatter))
    scatter = np.sqrt((steps * scatter**2 + SHARED_STEPS * usual**2) / (steps + SHARED_STEPS))
    error = 1.2533 * scatter / np.sqrt(steps)
    noise = np.hypot(np.hypot(sigma, luck), error) * np.sqrt(1 + 1 / max(dps - 1, 1))
    persists = (by_step >= effect / 2).mean(axis=0)
    return Cells(effect, persists, effect / noise, by_step, sigma)


def own_spread(effect: Floats) -> float:
    """Between healthy workers: what is known of them, then what these show."""
    count = max(0, effect.size - UNTOLD) if effect.shape[0] > 1 else 0
    seen = spread(effect)
    return float(np.sqrt((BELIEVED * OWN_SPREAD**2 + count * seen**2) / (BELIEVED + count)))


def computations(line: Timeline) -> list[int]:
    return [at for at, op in enumerate(line.ops) if scope(op.kind) is Scope.COMPUTE]


def judge(done: Study, found: Cells) -> tuple[Judged, Judged]:
    """(worker, host)"""
    if len(done.line.dps) < 2:
        why = "with one DP rank no worker has a peer that does the same work"
        return Blind(Cause.WORKER, why), Blind(Cause.HOST, why)
    slow = found.slow
    if not slow:
        top = np.unravel_index(int(found.effect.argmax()), found.effect.shape)
        why = (
            f"the slowest worker, dp {done.line.dps[top[0]]} stage {done.line.stages[top[1]]}, is "
            f"{np.expm1(found.effect[top]):.1%} slower than its peers (z {found.z[top]:.1f}, in "
            f"{found.persists[top]:.0%} of steps)"
        )
        return Clear(Cause.WORKER, why), Clear(Cause.HOST, "no worker of it is slow")
    hosts = dict(slow_hosts(done.line, slow))
    rest = [cell for cell in slow if not any(cell in whole for whole in hosts.values())]
    worker: Judged = Clear(Cause.WORKER, "the slow workers are all those of a node")
    if rest:
        worker = damage(
            done, found, Cause.WORKER, [suspect(done, found, one) for one in rest], rest
        )
    host: Judged = Clear(Cause.HOST, "the slow workers are not all those of one node")
    if hosts:
        named = [host_suspect(done, found, node, whole) for node, whole in hosts.items()]
        whole = [cell for group in hosts.values() for cell in group]
        host = damage(done, found, Cause.HOST, named, whole)
    return worker, host


def damage(
    done: Study, found: Cells, cause: Cause, suspects: list[Suspect], where: list[tuple[int, int]]
) -> Damage:
    repaired = done.took.take_s.copy()
    work = computations(done.line)
    for dp, stage in where:
        here = [at for at in work if done.line.ops[at].stage == stage]
        repaired[here, :, dp] *= np.exp(-found.effect[dp, stage])
    return Damage(cause, repaired, suspects=tuple(suspects))


def suspect(done: Study, found: Cells, cell: tuple[int, int]) -> Suspect:
    dp, stage = cell
    line = done.line
    slower = float(np.exp(found.effect[cell]))
    return Suspect(
        what=f"dp {line.dps[dp]} stage {line.stages[stage]}",
        ranks=whole_worker(line, line.ranks[dp][stage]),
        node=line.nodes[dp][stage],
        slowdown=slower,
        confidence=sure(float(found.z[cell]), float(found.persists[cell])),
        why=(
            (
                f"its computations take {slower:.2f} times as long as those of its peers in stage "
                f"{line.stages[stage]}"
            ),
            f"in {found.persists[cell]:.0%} of {len(line.steps)} steps",
            f"z {found.z[cell]:.0f} where healthy workers differ by {found.sigma:.1%}",
        ),
    )


def sure(z: float, persists: float) -> float:
    """Grows with what stands above the limit; never certain from one trace."""
    return float(min(0.99, persists) * (1 - np.exp(-max(z, 0.0) / 2)))


def whole_worker(line: Timeline, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """All ranks of a worker: a trace names the first of each tensor-parallel group only.

    Ranks that are named at even distances leave room for the others of their group.
    """
    named = np.unique([rank for row in line.ranks for cell in row for rank in cell])
    if len(named) < 2 or len(ranks) != 1:
        return ranks
    apart = np.unique(np.diff(named))
    if len(apart) != 1 or apart[0] == 1:
        return ranks
    return tuple(range(ranks[0], ranks[0] + int(apart[0])))


# -------------------------------------------------------------------------------------- hosts


def slow_hosts(
    line: Timeline, slow: list[tuple[int, int]]
) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """(node, its workers): several, and nearly all of them slow, and not all that there are."""
    by_node: dict[str, list[tuple[int, int]]] = defaultdict(list)
    those = set(slow)
    for dp, row in enumerate(line.ranks):
        for stage, ranks in enumerate(row):
            by_node[home(line, dp, stage, ranks)].append((dp, stage))
    for node, there in by_node.items():
        hit = [cell for cell in there if cell in those]
        if node and len(hit) > 1 and len(hit) >= HOST_SHARE * len(there) and len(by_node) > 1:
            yield node, hit


def home(line: Timeline, dp: int, stage: int, ranks: tuple[int, ...]) -> str:
    """The node of a worker, as told, or as ranks are usually dealt: eight to a node."""
    if line.nodes[dp][stage]:
        return line.nodes[dp][stage]
    if not ranks:
        return ""
    first = min(ranks) // NODE_RANKS * NODE_RANKS
    return f"ranks {first}-{first + NODE_RANKS - 1}"


def host_suspect(done: Study, found: Cells, node: str, where: list[tuple[int, int]]) -> Suspect:
    line = done.line
    effect = float(np.median([found.effect[cell] for cell in where]))
    told = line.nodes[where[0][0]][where[0][1]]
    workers = ", ".join(f"dp {line.dps[dp]} stage {line.stages[st]}" for dp, st in where[:8])
    why = [
        f"all {len(where)} workers of it are slow: {workers}",
        f"{np.exp(effect):.2f} times as long as their peers",
    ]
    if not told:
        why.append(f"if ranks are dealt to nodes {NODE_RANKS} by {NODE_RANKS}; the trace says not")
    return Suspect(
        what=node,
        ranks=tuple(
            sorted(
                rank for dp, stage in where for rank in whole_worker(line, line.ranks[dp][stage])
            )
        ),
        node=told,
        slowdown=float(np.exp(effect)),
        confidence=min(sure(float(found.z[cell]), float(found.persists[cell])) for cell in where),
        why=tuple(why),
    )
