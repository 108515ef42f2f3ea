"""Whether the work itself is uneven: between pipeline stages, or between microbatches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.triage.timeline.cells import computations
from clusterctl.triage.timeline.damage import Blind, Clear, Damage, Judged
from clusterctl.triage.timeline.operations import Floats, Timeline
from clusterctl.triage.timeline.schedule import BACKWARD, FORWARD
from clusterctl.triage.timeline.whatif import Study
from clusterctl.triage.verdict import Cause

UNEVEN_STAGES = 1.03  # slowest over mean; a layer more or less in twenty is five percent
TOGETHER = 0.7  # correlation of forward and backward; 0.9 and more in the published cases,
# where they took it over whole jobs; noise of its own in short operations lowers it
UNEVEN_WORK = 0.03  # sigma of ln
MEDIAN_ERROR = 1.2533  # of a normal sample's median, in errors of its mean
FEW = 8  # pairs of a forward and a backward


def stages(done: Study) -> Judged:
    """Each stage's share of the work, as its typical DP rank has it in the typical step."""
    line, take = done.line, done.took.take_s
    if len(line.stages) < 2:
        return Blind(Cause.STAGE, "one stage only")
    work = np.zeros(len(line.stages))
    typical = np.median(take, axis=(1, 2))
    for at in computations(line):
        work[line.ops[at].stage] += typical[at]
    if not work.all():
        return Blind(Cause.STAGE, "a stage without computations")
    ratio = work / work.mean()
    worst = int(ratio.argmax())
    told = (
        f"stage {line.stages[worst]} has {ratio[worst]:.2f} times the mean work of the "
        f"{len(work)} stages"
    )
    if ratio[worst] < UNEVEN_STAGES:
        return Clear(Cause.STAGE, told)
    repaired = take.copy()
    for at in computations(line):
        repaired[at] /= ratio[line.ops[at].stage]
    spelt = " · ".join(f"{line.stages[at]}: {one:.2f}" for at, one in enumerate(ratio.tolist()))
    peers = len(line.dps)
    alike = (
        f"alike in all {peers} DP ranks"
        if peers > 1
        else "with one DP rank, a slow accelerator in that stage would look the same"
    )
    shown = spelt if len(work) <= 16 else f"lightest {ratio.min():.2f}"
    return Damage(Cause.STAGE, repaired, evidence=(told, f"work by stage: {shown}", alike))


@dataclass(frozen=True, slots=True)
class Microbatches:
    """`work`: ln of what is more than typical, [microbatch, step, DP rank].

    `of`: which of these an operation belongs to, -1 none.  `together`: correlation of forward and
    backward.  `sigma`: of `work`.
    """

    work: Floats
    of: NDArray[np.int64]
    together: float
    sigma: float

    @property
    def luck(self) -> float:
        """Sigma of a DP rank's median microbatch: its typical share, by chance."""
        return float(MEDIAN_ERROR * self.sigma / np.sqrt(self.work.shape[0] * self.work.shape[1]))


def microbatches(done: Study) -> Microbatches | None:
    """What a microbatch has of work, seen alike by its forward, its backward and every stage.

    What a worker or a stage is slow by in every step, and what a whole step is, is taken out first.
    """
    line = done.line
    forward, backward = (longest(done, kind) for kind in (FORWARD, BACKWARD))
    pairs = [(forward[one], backward[one]) for one in forward if one in backward]
    if not pairs or len(line.steps) * len(line.dps) * len(pairs) < FEW:
        return None
    stage = np.array([line.ops[one].stage for one, _ in pairs])
    ahead = own(done.took.take_s[[one for one, _ in pairs]], stage)
    back = own(done.took.take_s[[one for _, one in pairs]], stage)
    numbers = {mb: at for at, mb in enumerate(sorted({micro(line, one) for one, _ in pairs}))}
    of = np.full(len(line.ops), -1, dtype=np.int64)
    for at in (*line.of(FORWARD).tolist(), *line.of(BACKWARD).tolist()):
        of[at] = numbers.get(micro(line, at), -1)
    both = np.stack([ahead, back])
    place = of[[one for one, _ in pairs]]
    work = np.stack([np.median(both[:, place == at], axis=(0, 1)) for at in range(len(numbers))])
    return Microbatches(work, of, correlation(ahead, back), float(np.std(clipped(work))))


def longest(done: Study, kind: str) -> dict[tuple[int, int, int], int]:
    """Of each microbatch in each stage; a backward may be cut into several."""
    places = done.line.of(kind).tolist()
    typical = [float(np.median(done.took.take_s[at])) for at in places]
    return {key(done.line, at): at for _, at in sorted(zip(typical, places, strict=True))}


def key(line: Timeline, at: int) -> tuple[int, int, int]:
    op = line.ops[at]
    return op.stage, op.chunk, micro(line, at)


def micro(line: Timeline, at: int) -> int:
    op = line.ops[at]
    return op.microbatch if op.microbatch >= 0 else op.seq


def own(take: Floats, stage: NDArray[np.int64]) -> Floats:
    """The ln of [pair, step, DP rank] without what operation, worker and step always have.

    With one DP rank and one microbatch the step is all there is, so it stays.
    """
    logs = np.log(np.maximum(take, 1e-9))
    found: Floats = logs - np.median(logs, axis=(1, 2), keepdims=True)
    for one in np.unique(stage):
        here = stage == one
        found[here] -= np.median(found[here], axis=(0, 1), keepdims=True)
    if take.shape[2] > 1 or take.shape[0] > len(np.unique(stage)):
        found -= np.median(found, axis=(0, 2), keepdims=True)
    return found


def correlation(one: Floats, other: Floats) -> float:
    """Of clipped values: a pause in one operation is no work of its microbatch."""
    left, right = clipped(one).ravel(), clipped(other).ravel()
    if left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def clipped(values: Floats) -> Floats:
    low, high = np.quantile(values, (0.01, 0.99))
    found: Floats = np.clip(values, low, high)
    return found


def sequence(done: Study, found: Microbatches | None) -> Judged:
    if found is None:
        return Blind(Cause.SEQUENCE, "no forward and backward of one microbatch to compare")
    told = (
        f"forward and backward of a microbatch correlate by {found.together:.2f}, microbatches "
        f"differ by {found.sigma:.1%}"
    )
    if found.together < TOGETHER or found.sigma < UNEVEN_WORK:
        return Clear(Cause.SEQUENCE, told)
    repaired = done.took.take_s.copy()
    mean = np.log(np.exp(found.work).mean(axis=(0, 2), keepdims=True))  # the work is still done
    for at, place in enumerate(found.of.tolist()):
        if place >= 0:
            repaired[at] *= np.exp(mean[0] - found.work[place])
    return Damage(
        Cause.SEQUENCE,
        repaired,
        evidence=(told, "which microbatch is slow changes from step to step; no worker stays slow"),
    )
