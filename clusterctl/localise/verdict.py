"""Each measurement against its like: residuals, their noise, and what whole groups share.

No limit is set by hand: levels and scales come from the measurements, from their undisturbed upper
side, because faults and congestion only pull down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import FAILED, Measured
from clusterctl.localise.kinds import node_classes
from clusterctl.localise.levels import FEW, FINEST, Floats, Ints, baseline, groups, strata
from clusterctl.localise.located import Floor, Population
from clusterctl.localise.noise import (
    FAILED_LOG,
    TAIL_BEFORE,
    Noise,
    freedom_of,
    habit_of,
    lean_of,
    upper_sigma,
)
from clusterctl.localise.paths import Paths
from clusterctl.localise.rounding import unrounded

TIERS = ("intra", "cross")
FAILED_DENSITY = 1.1  # of a failed test under a dead part, by unit of ln rate
ENOUGH = 48  # rows that say by themselves how far they stray
TAIL_UNKNOWN = 0.6  # share of rows, in a group too small to say what its level is
TAIL_WEIGHT = 200.0  # rows that this guess is worth
SPREAD_BEFORE = 0.006  # of ln rate: what parts differ by, before looking
SPREAD_FIRST = 0.007  # ... until the faults are known: what a fabric of equal parts shows
SPREAD_WEIGHT = 200.0  # pairs of tests that this guess is worth
SPREAD_LEAST = 0.0005
CLIPPED = 4.0  # sigmas: what lies further out is no difference in health
CUT_OFF = 0.02  # share of NICs left out at either end
SHOWS = 0.29  # of one NIC's variance, in the covariance of two tests that also cross another each
SPREAD_MOST = 0.03


@dataclass(frozen=True, slots=True)
class Judged:
    """Of every row that ran: ln(rate / healthy rate), and how much of that may be chance."""

    residual: Floats
    stratum: Ints
    noise: Noise
    healthy_gbit_s: Floats
    smallest: float  # ln rate that a fault must cost to be worth a name
    spread: float  # one sigma of what healthy parts differ by
    cut: float  # z below which no more than 1 % are chance
    population: tuple[Population, ...]

    @property
    def z(self) -> Floats:
        return self.residual / self.noise.sigma


def judge(rows: Measured, paths: Paths, floors: Sequence[Floor]) -> Judged:
    """`rows` are those with status OK or FAILED."""
    failed = rows.status == FAILED
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(failed, np.nan, np.log(np.maximum(unrounded(rows.gbit_s), 1e-12)))
    stratum = strata(rows, paths)
    levels, said = baseline(x, rows, stratum)
    classes, also = node_classes(x - levels, levels, rows, paths)
    levels += classes
    residual = np.where(failed, FAILED_LOG, np.maximum(x - levels, FAILED_LOG))
    sigma = scales(residual, x, stratum, failed)
    lean = leans(residual, stratum, failed)
    tail = tails(residual, sigma, lean, stratum, np.zeros(len(x), dtype=bool))
    healthy = residual[~failed] / sigma[~failed]
    habit = habits(residual, sigma, stratum, paths, np.zeros(len(x), dtype=bool))
    usual = np.sort(residual[np.isfinite(habit)])
    habit = np.where(failed, failing(failed, paths) * FAILED_DENSITY, habit)
    noise = Noise(sigma, tail, freedom_of(healthy), habit, usual, lean)
    return Judged(
        residual,
        stratum,
        noise,
        np.exp(levels),
        max(0.02, 2 * float(np.quantile(sigma, 0.25))) if len(sigma) else 0.02,
        SPREAD_FIRST,
        mirrored_cut(healthy),
        (*under_floor(levels, rows, paths, floors), *said, *also),
    )


def scales(residual: Floats, x: Floats, stratum: Ints, failed: NDArray[np.bool_]) -> Floats:
    """One sigma of every row; small strata lean on all rows."""
    pooled = max(upper_sigma(residual[~failed]), FINEST)
    for _, at in groups(stratum, x):
        if len(at) >= ENOUGH:  # flows that meet in one stratum say nothing of another
            pooled = min(pooled, 3 * max(upper_sigma(residual[at][~failed[at]]), FINEST))
    sigma = np.full(len(residual), pooled)
    for _, at in groups(stratum, x):
        values = residual[at][~failed[at]]
        weight = len(values) / (len(values) + FEW)
        mixed = weight * upper_sigma(values) ** 2 + (1 - weight) * pooled**2
        sigma[at] = max(float(np.sqrt(mixed)), FINEST)
    return sigma


def leans(residual: Floats, stratum: Ints, failed: NDArray[np.bool_]) -> Floats:
    """Of every row; small strata stray as the middle one of the others does."""
    found = np.full(len(residual), np.nan)
    each = []
    for _, at in groups(stratum, residual):
        found[at] = lean_of(residual[at][~failed[at]])
        each.append(float(found[at[0]]))
    known = [one for one in each if np.isfinite(one)]
    every: Floats = np.nan_to_num(found, nan=float(np.median(known)) if known else 1.0)
    return every


def tails(
    residual: Floats,
    sigma: Floats,
    lean: Floats,
    stratum: Ints,
    explained: NDArray[np.bool_],
) -> Floats:
    """The share of rows below what the upper side's mirror image explains, faults left out."""
    tail: Floats = np.full(len(residual), TAIL_UNKNOWN)
    for _, at in groups(stratum, residual):
        if len(at) < FEW and len(at) < len(residual):
            continue
        left = at[~explained[at]]
        z = residual[left] / np.where(residual[left] < 0, sigma[left] * lean[left], sigma[left])
        excess = max(int((z < -3).sum()) - int((z > 3).sum()), 0)
        tail[at] = (excess + TAIL_WEIGHT * TAIL_BEFORE) / (len(left) + TAIL_WEIGHT)
    return np.clip(tail, 0.002, TAIL_UNKNOWN)


def habits(
    residual: Floats, sigma: Floats, stratum: Ints, paths: Paths, explained: NDArray[np.bool_]
) -> Floats:
    """What slow rows look like where paths are not known and flows may meet; nan elsewhere."""
    found = np.full(len(residual), np.nan)
    hidden = paths.cross & (paths.crossed[6] < 0)
    for _, at in groups(np.where(hidden, stratum, -1), residual):
        if hidden[at[0]] and len(at) >= 4 * FEW:
            groups_of = list(paths.crossed[9:11, at])
            found[at] = habit_of(residual[at], sigma[at], groups_of, explained[at])
    return found


def without(judged: Judged, paths: Paths, explained: NDArray[np.bool_]) -> Judged:
    """Judged anew with the rows that faults explain left out of what passing trouble does."""
    noise, residual = judged.noise, judged.residual
    tail = tails(residual, noise.sigma, noise.lean, judged.stratum, explained)
    left = ~explained & (residual > FAILED_LOG) & ~np.isfinite(noise.habit)
    spread = spread_of_parts(residual[left], noise.sigma[left], paths.crossed[:, left])
    failed = residual <= FAILED_LOG
    habit = habits(residual, noise.sigma, judged.stratum, paths, explained)
    usual = np.sort(residual[np.isfinite(habit) & ~explained])
    habit = np.where(failed, failing(failed & ~explained, paths) * FAILED_DENSITY, habit)
    noise = replace(noise, tail=tail, habit=habit, usual=usual)
    return replace(judged, noise=noise, spread=spread)


def failing(failed: NDArray[np.bool_], paths: Paths) -> float:
    """The share of tests that fail anyway: where one in three does, a failure accuses nobody.

    The tenth of the hosts where most fail is left out, so that a dead one does not count as habit.
    """
    if not failed.any():
        return 0.0
    src, dst = paths.crossed[0], np.where(paths.crossed[1] >= 0, paths.crossed[1], paths.crossed[0])
    count = np.bincount(src, minlength=paths.count) + np.bincount(dst, minlength=paths.count)
    lost = np.bincount(src[failed], minlength=paths.count).astype(float)
    lost += np.bincount(dst[failed], minlength=paths.count)
    hosts = np.flatnonzero(count)
    worst = hosts[np.argsort(-lost[hosts] / count[hosts], kind="stable")][: -(-len(hosts) // 10)]
    kept = ~np.isin(src, worst) & ~np.isin(dst, worst)
    return float(failed[kept].mean()) if kept.any() else 0.0


def spread_of_parts(residual: Floats, sigma: Floats, crossed: NDArray[np.int32]) -> float:
    """By how much healthy components differ, as one sigma of ln rate.

    What two tests across one NIC have in common is the NIC, so their covariance is its variance,
    as far as the slower of two NICs shows it.
    """
    clipped = np.clip(residual, -CLIPPED * sigma, CLIPPED * sigma)
    near = crossed[4]
    far = np.where(crossed[5] >= 0, crossed[5], near)
    shown, pairs = SPREAD_BEFORE**2 * SHOWS * SPREAD_WEIGHT, SPREAD_WEIGHT
    for slot, leaf in ((2, near), (3, far)):  # the NIC that sends, the one that receives
        if not len(residual):
            continue
        values = clipped - means(clipped, leaf)  # what a whole leaf lacks is no NIC's
        code = np.unique(crossed[slot], return_inverse=True)[1].ravel()
        count = np.bincount(code)
        common = np.bincount(code, values) ** 2 - np.bincount(code, values**2)
        own = (count * (count - 1)).astype(float)
        each = common / np.maximum(own, 1)
        low, high = np.quantile(each[own > 0], (CUT_OFF, 1 - CUT_OFF)) if own.any() else (0, 0)
        kept = (own > 0) & (each >= low) & (each <= high)  # the odd one is a fault, not the spread
        shown += float(common[kept].sum())
        pairs += float(own[kept].sum())
    return min(float(np.sqrt(max(shown / pairs, SPREAD_LEAST**2 * SHOWS) / SHOWS)), SPREAD_MOST)


def means(values: Floats, code: NDArray[np.int32]) -> Floats:
    """The mean of each row's like."""
    number = np.unique(code, return_inverse=True)[1].ravel()
    found: Floats = (np.bincount(number, values) / np.bincount(number))[number]
    return found


def mirrored_cut(z: Floats) -> float:
    """The smallest t for which (1 + rows above t) / (rows below -t) is at most 1 %.

    Healthy noise is near symmetric and faults only pull down, so the upper side counts the chance
    crossings of the lower.  Where there are too few rows to say, 4.
    """
    below, above = np.sort(-z[z < 0]), np.sort(z[z > 0])
    if len(below) < 100:
        return 4.0
    t = below[below > 2]
    flagged = len(below) - np.searchsorted(below, t)
    chance = 1 + len(above) - np.searchsorted(above, t)
    good = np.flatnonzero(chance <= 0.01 * np.maximum(flagged, 1))
    return float(max(t[good[0]], 2.5)) if len(good) else 4.0


def under_floor(
    levels: Floats, rows: Measured, paths: Paths, floors: Sequence[Floor]
) -> Iterator[Population]:
    """Groups that agree with each other and lie under what their hardware should do."""
    for floor in floors:
        slow = []
        for rail in np.unique(rows.rail).tolist():
            for tier in (0, 1):
                at = (rows.rail == rail) & (paths.cross == bool(tier))
                if floor.rail not in {None, rail} or floor.tier not in {None, TIERS[tier]}:
                    continue
                if at.any() and (level := float(np.exp(np.median(levels[at])))) < floor.gbit_s:
                    slow.append((rail, TIERS[tier], level))
        if not slow:
            continue
        rails = sorted({rail for rail, _, _ in slow})
        tiers = sorted({tier for _, tier, _ in slow})
        yield Population(
            f"rail{'s' if len(rails) > 1 else ''} {', '.join(map(str, rails))} {'+'.join(tiers)}",
            min(level for _, _, level in slow),
            floor.gbit_s,
            "all of them, not single parts, stay under the floor: one setting, driver or cabling "
            "plan that they share",
            floor.source,
        )
