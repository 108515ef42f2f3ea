"""What a healthy path carries: the level of each stratum, rail and round, and slow rails said once.

From the undisturbed upper side, because faults and congestion only pull down.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import Measured
from clusterctl.localise.located import Population
from clusterctl.localise.noise import healthy_level, upper_sigma, width_of
from clusterctl.localise.paths import DOWN, UP, Paths

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINEST = 0.001  # of ln rate: no test repeats better than that
FEW = 12  # rows below which a group's own level is not trusted
ENOUGH_NODES = 6  # below that a slow NIC and a slow rail look alike: the NIC is named
SAID_SLOW = 0.03  # how far a rail or a class of nodes must lag to be mentioned


def strata(rows: Measured, paths: Paths) -> Ints:
    """Like with like: within or across leaves, as many flows on the fullest link."""
    load = np.ones(len(rows.src), dtype=np.int64)
    number = np.unique(rows.round, return_inverse=True)[1].ravel()
    for kind, slot in ((UP, 6), (DOWN, 7)):
        link = paths.crossed[slot]
        known = link >= 0
        key = number * np.int64(paths.starts[kind + 1] + 1) + link + 1
        _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
        load = np.where(known, np.maximum(load, count[inverse.ravel()]), load)
    code: Ints = paths.cross + 2 * np.minimum(load - 1, 7)
    return code


def baseline(x: Floats, rows: Measured, stratum: Ints) -> tuple[Floats, list[Population]]:
    """The healthy ln rate of every row: its stratum's, its rail's and its round's."""
    repeats = repeatability(x, rows, stratum)
    rail_lag = rail_offsets(x, rows, stratum, repeats)
    levels = rail_lag[rows.rail].copy()
    for _, at in groups(stratum, x):
        fine = at[np.isfinite(x[at])]
        levels[at] += healthy_level(x[fine] - levels[fine], repeats)
    said = list(slow_rails(rail_lag, levels, rows))
    number = np.unique(rows.round, return_inverse=True)[1].ravel().astype(np.int64)
    rails = len(rail_lag)
    for code in (stratum * (number.max(initial=0) + 1) + number, stratum * rails + rows.rail):
        shifted(levels, x, rows, code, repeats)
    said += slow_across(levels - rail_lag[rows.rail], rows, stratum)
    return levels, said


def shifted(levels: Floats, x: Floats, rows: Measured, code: Ints, repeats: float) -> None:
    """Moves the level of those groups that as a whole lie elsewhere by more than chance."""
    most = nodes_in(rows, np.arange(len(x)))
    for _, at in groups(code, x):
        left = (x - levels)[at]
        left = left[np.isfinite(left)]
        if len(left) < 2 * FEW or nodes_in(rows, at) < most / 2:  # retests are no sample
            continue
        shift = healthy_level(left, repeats)
        chance = max(upper_sigma(left - shift), FINEST) / np.sqrt(len(left))
        if abs(shift) > 4 * chance:
            levels[at] += shift


def slow_across(levels: Floats, rows: Measured, stratum: Ints) -> Iterator[Population]:
    """Rails whose paths over the spines lag behind the other rails', more than within a leaf."""
    cross = stratum % 2 == 1
    rails = np.unique(rows.rail[cross])
    middle = {
        rail: float(np.median(levels[cross & (rows.rail == rail)])) for rail in rails.tolist()
    }
    if len(middle) < 3:
        return
    rest = float(np.median(list(middle.values())))
    for rail, level in middle.items():
        if level - rest < np.log1p(-SAID_SLOW):
            here, there = (float(np.exp(value)) for value in (level, rest))
            yield Population(
                f"rail {rail} cross",
                here,
                there,
                f"all paths of rail {rail} over the spines run at {here / there:.0%} of the other "
                "rails': compare its uplinks' speed, number and load sharing",
                "the other rails of this run",
            )


def nodes_in(rows: Measured, at: Ints) -> int:
    return len(np.unique([rows.src[at], rows.dst[at]]))


def groups(code: Ints, x: Floats) -> Iterator[tuple[int, Ints]]:
    """Rows by code, where any gave a rate."""
    order = np.argsort(code, kind="stable")
    values, first = np.unique(code[order], return_index=True)
    for value, at in zip(values, np.split(order, first[1:]), strict=True):
        if np.isfinite(x[at]).any():
            yield int(value), at


def repeatability(x: Floats, rows: Measured, stratum: Ints) -> float:
    """One sigma that a test strays by within its stratum and rail, whatever else is wrong.

    Of the strata that which repeats best counts: in another, hashed flows may meet on links.
    """
    rails = int(rows.rail.max(initial=0)) + 1
    found: dict[int, list[float]] = {}
    for code, at in groups(stratum * rails + rows.rail, x):
        values = x[at][np.isfinite(x[at])]
        if len(values) >= FEW:
            found.setdefault(code // rails, []).append(width_of(values))
    if not found:
        return width_of(x[np.isfinite(x)])
    return min(float(np.median(widths)) for widths in found.values())


def rail_offsets(x: Floats, rows: Measured, stratum: Ints, repeats: float) -> Floats:
    """How far each rail as a whole lies from the middle one; 0 where few nodes were seen.

    Over all strata the best counts: a rail is slow only if none of its paths attains the rest.
    """
    rails = int(rows.rail.max(initial=0)) + 1
    found = np.full((int(stratum.max(initial=0)) + 1, rails), np.nan)
    most = nodes_in(rows, np.arange(len(x)))
    for code, at in groups(stratum * rails + rows.rail, x):
        if len(at) >= FEW and nodes_in(rows, at) >= max(ENOUGH_NODES, most / 2):
            values = x[at]
            values = values[np.isfinite(values)]
            found[code // rails, code % rails] = healthy_level(values, repeats)
    several = np.isfinite(found).sum(axis=1) > 1
    if not several.any():
        return np.zeros(rails)
    apart = found[several] - np.nanmedian(found[several], axis=1, keepdims=True)
    best: Floats = np.fmax.reduce(np.atleast_2d(apart), axis=0)
    return np.nan_to_num(best)


def slow_rails(lag: Floats, levels: Floats, rows: Measured) -> Iterator[Population]:
    for rail in np.flatnonzero(lag < np.log1p(-SAID_SLOW)).tolist():
        here = float(np.exp(np.median(levels[rows.rail == rail])))
        rest = here / float(np.exp(lag[rail]))
        yield Population(
            f"rail {rail}",
            here,
            rest,
            f"all of rail {rail} runs at {np.exp(lag[rail]):.0%} of the other rails: "
            "compare its speed, cabling, firmware and QoS settings",
            "the other rails of this run",
        )
