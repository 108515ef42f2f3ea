"""What one class of slowness did to a job's steps, in a form that can be repaired in a replay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterctl.triage.timeline.operations import Floats, Integers
from clusterctl.triage.verdict import Cause, Suspect


@dataclass(frozen=True, slots=True)
class Damage:
    """All in seconds; None: it did not do that.

    `repaired_s`: durations without it, [op, step, DP rank].  `held_s`: waits that it made, same
    shape.  `gap_s`: what it put before each step.
    """

    cause: Cause
    repaired_s: Floats | None = None
    held_s: Floats | None = None
    gap_s: Floats | None = None
    suspects: tuple[Suspect, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clear:
    """Looked for and not found; `why` with its figure."""

    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Blind:
    """What this trace cannot show, and why."""

    cause: Cause
    why: str


Judged = Damage | Clear | Blind

MOST_PAIRS = 20_000
PAIRS_HOLD = 2.2219  # of Qn: the first quartile of a normal sample's pairwise distances, in sigma


def spread(values: Floats) -> float:
    """Sigma of values [many, few], within columns, whatever half of them are faults.

    Qn of Rousseeuw and Croux, "Alternatives to the Median Absolute Deviation" (JASA 1993).
    """
    first, second = pairs(values.shape[0])
    apart = np.abs(values[first] - values[second])
    return float(np.quantile(apart, 0.25, method="lower") * PAIRS_HOLD) if apart.size else 0.0


def pairs(count: int) -> tuple[Integers, Integers]:
    """Of the pairs of so many, row by row of the upper triangle, at most MOST_PAIRS, evenly."""
    every = max(1, -(-(count * (count - 1) // 2) // MOST_PAIRS))
    rows = np.arange(count)
    begins = rows * (2 * count - rows - 1) // 2
    number = np.arange(0, count * (count - 1) // 2, every)
    first = np.searchsorted(begins, number, side="right") - 1
    return first, number - begins[first] + first + 1


def robust_sigma(values: Floats) -> float:
    """Of a sample around its median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else 0.0
