"""Which numbers moved most in the wrong way of late: for eyes, judged by nobody.

`past.py` says what is worse and is sure of it; here stands what comes next, so that a person sees
where it is going.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from clusterctl.memory.cache import Memory
from clusterctl.memory.past import (
    LEAST_NIGHTS,
    LEAST_REFERENCE,
    alike,
    least,
    middle,
    reference,
    upward,
    windowed,
)
from clusterctl.memory.quantities import Quantity, quantities
from clusterctl.memory.series import Matrix, Series, series

MOST = 12  # lines that a person looks at
A_QUANTITY, A_RACK = 4, 2  # of these, so that one hot rack does not fill the page
NOTABLE = 0.5  # of the change that matters


@dataclass(frozen=True, slots=True)
class Mover:
    """`numbers`: night by night, nan where nobody read them; `share`: of the change that matters.

    `before`, `now`: medians of the first half of the nights and of the last few.
    """

    quantity: Quantity
    node: str
    part: str
    numbers: Matrix
    before: float
    now: float
    share: float


def movers(remembered: Memory, racks: Mapping[str, str]) -> list[Mover]:
    """The worst first.  `racks`: of each node."""
    found: list[Mover] = []
    for quantity in quantities():
        if np.isfinite(quantity.least):
            found += few(of_one(series(remembered, quantity)), racks, A_QUANTITY)
    return sorted(found, key=lambda one: -one.share)[:MOST]


def of_one(told: Series) -> list[Mover]:
    """Those that moved notably, the worst first."""
    told = windowed(told)
    if len(told.nights) < LEAST_REFERENCE + LEAST_NIGHTS:
        return []
    numbers = alike(told)
    bad = upward(told.quantity, numbers)
    known = reference(bad)
    late = np.isfinite(bad) & ~known
    recent = late & (np.cumsum(late[:, ::-1], axis=1)[:, ::-1] <= LEAST_NIGHTS)
    moved = middle(np.where(recent, bad, np.nan)) - middle(np.where(known, bad, np.nan))
    share = np.nan_to_num(moved / least(told.quantity), nan=0.0)
    worst = [int(row) for row in np.argsort(-share) if share[row] >= NOTABLE][: 20 * A_QUANTITY]
    places = told.parts.iloc[worst][["node", "part"]].itertuples(index=False)
    before = middle(np.where(known, numbers, np.nan))
    now = middle(np.where(recent, numbers, np.nan))
    return [
        Mover(
            told.quantity,
            node,
            part,
            numbers[row],
            float(before[row]),
            float(now[row]),
            float(share[row]),
        )
        for row, (node, part) in zip(worst, places, strict=True)
    ]


def few(found: Iterable[Mover], racks: Mapping[str, str], most: int) -> list[Mover]:
    """One a node, some a rack."""
    kept: list[Mover] = []
    nodes: set[str] = set()
    in_rack: Counter[str] = Counter()
    for one in found:
        rack = racks.get(one.node, "")
        if one.node in nodes or (rack and in_rack[rack] >= A_RACK):
            continue
        nodes.add(one.node)
        in_rack[rack] += 1
        kept.append(one)
    return kept[:most]
