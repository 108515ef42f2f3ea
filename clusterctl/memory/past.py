"""The third yardstick: is a part worse than it was itself, and since when?  Pure.

Every part is compared with the first half of its own nights.  What all of a model do together is
taken away first, then what a rack does, then what a node does, and each is judged for itself: a
rack whose coolant warms is one finding, and a part that decays is seen against all of them.

A part is worse when each of its last nights lies beyond its limit: the change that matters, or
four robust standard deviations of its own nights or of its peers', whichever is most.  How many
nights are needed is read off the fleet: runs beyond the limit that ended by themselves are false
starts, and their rate, continued to longer runs, must stay below one in a hundred nights for all
quantities together (Bonferroni).  So heavy tails, and nights that resemble the night before, cost
patience and no false alarm.  When it began: CUSUM (Page, Biometrika 41, 1954; the last zero before
the alarm, as in NIST/SEMATECH e-Handbook 6.3.2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clusterctl.memory.quantities import Quantity
from clusterctl.memory.series import Matrix, Series
from clusterctl.peers import LEAST, SIGMA_PER_MAD

if TYPE_CHECKING:
    import pandas as pd

Nights = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
WINDOW = 60  # nights; older ones say what the part was before it was new
LEAST_REFERENCE = 8  # nights to know a part by
LEAST_NIGHTS = 3  # in a row; one bad night is a bad night
SIGMAS = 4.0
FALSE_A_NIGHT = 0.01
SLACK = 1.0  # of CUSUM, in standard deviations: half the shift that is looked for, at least
SUDDEN = 0.7  # of the change, with one night: a step, no decay
# Where no false start was seen: half a one, of which so many went on.  Of nights that know nothing
# of each other one in a hundred is beyond four deviations, if their tails are as heavy as
# Student's with three degrees of freedom.
PRIOR_STARTS, PRIOR_SHARE = 0.5, 0.04
WIDE = ("site", "room", "row", "pod", "rack")  # labels that say what parts share, widest first
LEVELS = 3 + len(WIDE)  # all of a model, labels, nodes, parts: so many comparisons a quantity


@dataclass(frozen=True, slots=True)
class Worse:
    """Something that is worse than it was.

    `level`: model, a label, node or part; `nodes` and `parts`: what it is of, `count` of them in
    all.  `before`, `now`:
    medians in the quantity's unit; `change`: on its scale, what all have in common taken away.
    `nights`: so many in a row beyond the limit; `known`: nights it was compared with.
    `sudden`: nearly all of it happened at once.
    """

    quantity: Quantity
    level: str
    nodes: tuple[str, ...]
    parts: tuple[str, ...]
    count: int
    before: float
    now: float
    change: float
    since: datetime
    until: datetime
    nights: int
    known: int
    sudden: bool


def worse(
    told: Series, labels: Mapping[str, Mapping[str, str]], *, quantities: int = 1
) -> list[Worse]:
    """What is worse tonight, the last of the nights, widest first.

    `quantities`: how many are judged beside this one, for the rate of false alarms of all.
    """
    told = windowed(told)
    if len(told.nights) < LEAST_REFERENCE + LEAST_NIGHTS:
        return []
    bad = upward(told.quantity, alike(told))
    change = bad - middle(np.where(reference(bad), bad, np.nan))[:, None]
    found = []
    allowed = FALSE_A_NIGHT / (quantities * LEVELS)
    for level, group in levels(told.parts, labels):
        common, row = change, np.arange(len(change))
        if group is not None:
            common, row = shared(change, group)
            change = change - np.where(np.isfinite(common), common, 0.0)[row]
        for alarm in alarms(common, told.quantity, allowed):
            members = np.flatnonzero(row == alarm.row)
            found.append(described(told, level, members, alarm))
    return found


def windowed(told: Series) -> Series:
    """The last nights, and of these the parts that were read on the very last."""
    numbers = told.numbers[:, -WINDOW:]
    here = np.isfinite(numbers[:, -1]) if numbers.size else np.zeros(0, dtype=bool)
    return replace(
        told,
        parts=told.parts[here].reset_index(drop=True),
        nights=told.nights[-WINDOW:],
        numbers=numbers[here],
        load=None if told.load is None else told.load[:, -WINDOW:][here],
    )


def alike(told: Series) -> Matrix:
    """The readings under a load like the last one's; nobody knows the load: none."""
    if told.load is None:
        return told.numbers
    with np.errstate(invalid="ignore"):
        near = np.abs(told.load - told.load[:, -1:]) <= told.quantity.load_within
    return np.where(near, told.numbers, np.nan)


def reference(change: Matrix) -> Nights:
    """Of each row, the nights that it is known by: the first half of those with a reading."""
    read = np.isfinite(change)
    known = np.cumsum(read, axis=1)
    count = known[:, -1:]
    return read & (known <= count // 2) & (count // 2 >= LEAST_REFERENCE)


def upward(quantity: Quantity, values: Matrix) -> Matrix:
    """On the quantity's scale, turned so that more is worse."""
    sign = 1.0 if quantity.bad == "up" else -1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        if quantity.scale == "ratio":
            return sign * np.log(np.where(values > 0, values, np.nan))
        if quantity.scale == "decades":
            return sign * np.log10(np.maximum(values, 0.0) + quantity.zero)
    return sign * values


def least(quantity: Quantity) -> float:
    return -float(np.log1p(-quantity.least)) if quantity.scale == "ratio" else quantity.least


def middle(numbers: Matrix) -> Matrix:
    """The median of each row, nan where it has nothing."""
    ordered = np.sort(numbers, axis=1)  # nan last
    count = np.isfinite(numbers).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, numbers.shape[1] - 1)
    rows = np.arange(len(numbers))
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, np.nan)


# --------------------------------------------------------------------------- what is shared


def levels(
    parts: pd.DataFrame, labels: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, pd.Series[str] | None]]:
    """Names of what each part shares, widest first; None: the part itself."""
    make = parts["model"] + "\n" + parts["variant"]
    yield "model", make
    for label in WIDE:
        value = parts["node"].map({n: one.get(label, "") for n, one in labels.items()}).fillna("")
        if len(value.unique()) > 1:
            yield label, value.where(value == "", make + "\n" + value)
    yield "node", make + "\n" + parts["node"]
    yield "part", None


def shared(change: Matrix, group: pd.Series[str]) -> tuple[Matrix, Rows]:
    """The median of each group and night, and to which group each row belongs.

    Of a group that is smaller than a crowd, and of parts without one, nothing is shared.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    row, names = group.factorize()
    sizes = np.bincount(row, minlength=len(names))
    common = pd.DataFrame(change).groupby(row).median().to_numpy()
    nameless = np.array([name == "" for name in names])
    lonely = (sizes < LEAST) | nameless
    return np.where(lonely[:, None], np.nan, common), row


# --------------------------------------------------------------------------- what is worse


@dataclass(frozen=True, slots=True)
class Alarm:
    """`nights` in a row beyond the limit; `began`: which night.  `change`: of every night."""

    row: int
    nights: int
    began: int
    sudden: bool
    change: Matrix


def alarms(change: Matrix, quantity: Quantity, allowed: float) -> Iterator[Alarm]:
    known = reference(change)
    sigma = spreads(change, known)
    limit = np.maximum(least(quantity), SIGMAS * sigma)
    judged = np.isfinite(change) & ~known & np.any(known, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        beyond = judged & (change > limit[:, None])
    lengths, false_starts = runs(beyond, judged)
    nights = int(judged.any(axis=0).sum())
    needed = patience(false_starts, nights=nights, allowed=allowed)
    for row in np.flatnonzero(lengths >= needed):
        step = int(np.flatnonzero(judged[row])[-lengths[row]])
        sudden = stepped(change[row], step)
        began = step if sudden else onset(change[row], sigma[row], quantity)
        yield Alarm(int(row), int(lengths[row]), began, sudden, change[row])


def stepped(change: Matrix, step: int) -> bool:
    """Whether it came with one night: little the night before, nearly all of it that night."""
    told = change[np.isfinite(change)]
    first = int(np.isfinite(change[:step]).sum())
    now = float(np.median(told[-LEAST_NIGHTS:]))
    return first > 0 and told[first - 1] <= (1 - SUDDEN) * now and told[first] >= SUDDEN * now


def spreads(change: Matrix, known: Nights) -> Matrix:
    """Robust standard deviation of each row: of its level, of its steps, or its peers' usual."""
    before = np.where(known, change, np.nan)
    level = SIGMA_PER_MAD * middle(np.abs(before - middle(before)[:, None]))
    steps = SIGMA_PER_MAD * middle(np.abs(np.diff(change, axis=1))) / np.sqrt(2)
    own = np.fmax(level, steps)
    usual = np.median(own[np.isfinite(own)]) if np.isfinite(own).any() else np.nan
    spread: Matrix = np.fmax(own, usual)
    return spread


def runs(beyond: Nights, judged: Nights) -> tuple[Rows, list[int]]:
    """How long each row has been beyond its limit tonight, and the runs that ended before.

    A night without a reading neither ends a run nor makes it longer.
    """
    length = np.zeros(len(beyond), dtype=np.int64)
    ended: list[int] = []
    for night in range(beyond.shape[1]):
        back = judged[:, night] & ~beyond[:, night]
        ended += length[back & (length > 0)].tolist()
        length = np.where(beyond[:, night], length + 1, np.where(back, 0, length))
    return length, ended


def patience(false_starts: Sequence[int], *, nights: int, allowed: float) -> int:
    """How many nights in a row until a false start of that length is rarer than `allowed`.

    Geometric: what goes on for another night does so as often as a first night had a second.
    """
    begun = len(false_starts) + PRIOR_STARTS
    went_on = sum(one > 1 for one in false_starts) + PRIOR_STARTS * PRIOR_SHARE
    rate, needed = begun / max(nights, 1), 1
    while rate > allowed and needed < WINDOW:
        rate *= went_on / begun
        needed += 1
    return max(needed, LEAST_NIGHTS)


def onset(change: Matrix, sigma: float, quantity: Quantity) -> int:
    """CUSUM: the first night after the sum was last zero."""
    unit = sigma if sigma > 0 else least(quantity) / SIGMAS
    total, began = 0.0, 0
    for night, value in enumerate(change):
        if np.isfinite(value):
            total = max(0.0, total + float(value) / unit - SLACK)
            if total == 0.0:
                began = night + 1
    return min(began, len(change) - 1)


def described(told: Series, level: str, members: Rows, alarm: Alarm) -> Worse:
    numbers, parts = told.numbers[members], told.parts.iloc[members]
    known = reference(numbers)
    tail = alarm.change[np.isfinite(alarm.change)]
    moved = float(np.median(tail[-alarm.nights :]))
    return Worse(
        quantity=told.quantity,
        level=level,
        nodes=tuple(sorted(set(parts["node"]))),
        parts=tuple(sorted(set(parts["part"]))),
        count=len(parts),
        before=float(np.nanmedian(numbers[known])) if known.any() else np.nan,
        now=float(np.nanmedian(numbers[:, -alarm.nights :])),
        change=moved,
        since=told.nights[alarm.began],
        until=told.nights[-1],
        nights=alarm.nights,
        known=int(known.any(axis=0).sum()),
        sudden=alarm.sudden,
    )
