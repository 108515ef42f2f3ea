"""What the peers say: majority, median and spread.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

V = TypeVar("V", bound=Hashable)

LEAST = 5  # a value and four others: below that, two bad ones can be half of the crowd
LEAST_VOTERS = 3
SIGMA_PER_MAD = 1.4826  # of a normal distribution


def majority(values: Iterable[V]) -> V | None:
    """What strictly more than half say; None where nobody has that, or fewer than three speak."""
    counted = Counter(values)
    if counted.total() < LEAST_VOTERS:
        return None
    value, count = counted.most_common(1)[0]
    return value if 2 * count > counted.total() else None


@dataclass(frozen=True, slots=True)
class Crowd:
    """`sigma`: robust, from the median absolute deviation; `count`: how many values."""

    middle: float
    sigma: float
    count: int


def crowd(values: Sequence[float]) -> Crowd | None:
    """None where there are too few to speak of peers."""
    if len(values) < LEAST:
        return None
    middle = median(values)
    return Crowd(
        middle, SIGMA_PER_MAD * median(abs(value - middle) for value in values), len(values)
    )


def shortfall(value: float, peers: Crowd, *, sigmas: float) -> float:
    """How far below its peers a value is, as a share of their middle; 0 within the usual spread.

    The caller compares the share with a least that matters: where peers are all but equal, any
    difference is many sigmas and most differences are nothing.
    """
    below = peers.middle - value
    if peers.middle <= 0 or below <= sigmas * peers.sigma:
        return 0.0
    return below / peers.middle


def excess(value: float, peers: Crowd, *, sigmas: float) -> float:
    """How far above its peers, in their own unit; 0 within the usual spread."""
    above = value - peers.middle
    return above if above > sigmas * peers.sigma else 0.0
