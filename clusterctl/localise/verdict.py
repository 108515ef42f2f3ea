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
from clusterctl.localise.located import Floor, Population
from clusterctl.localise.noise import (
    FAILED_LOG,
    TAIL_BEFORE,
    Noise,
    freedom_of,
    habit_of,
    healthy_level,
    lean_of,
    upper_sigma,
    width_of,
)
from clusterctl.localise.paths import DOWN, UP, Paths
from clusterctl.localise.rounding import unrounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIERS = ("intra", "cross")
FAILED_DENSITY = 1.1  # of a failed test under a dead part, by unit of ln rate
FINEST = 0.001  # of ln rate: no test repeats better than that
ENOUGH = 48  # rows that say by themselves how far they stray
FEW = 12  # rows below which a group's own level is not trusted
ENOUGH_NODES = 6  # below that a slow NIC and a slow rail look alike: the NIC is named
TAIL_UNKNOWN = 0.6  # ... in a group too small to say what its level is
TAIL_WEIGHT = 200.0  # rows that this guess is worth
SPREAD_BEFORE = 0.006  # of ln rate: what parts differ by, before looking
SPREAD_FIRST = 0.007  # ... until the faults are known: what a fabric of equal parts shows
SPREAD_WEIGHT = 200.0  # pairs of tests that this guess is worth
SPREAD_LEAST = 0.0005
CLIPPED = 4.0  # sigmas: what lies further out is no difference in health
CUT_OFF = 0.02  # share of NICs left out at either end
SHOWS = 0.29  # of one NIC's variance, in the covariance of two tests that also cross another each
SPREAD_MOST = 0.03
SAID_SLOW = 0.03  # how far a rail or a class of nodes must lag to be mentioned


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


def node_classes(
    residual: Floats, levels_ln: Floats, rows: Measured, paths: Paths
) -> tuple[Floats, list[Population]]:
    """What a slower kind of node costs every row it takes part in, and who they are."""
    cost = np.zeros(len(residual))
    said = []
    for _ in range(3):
        levels = node_levels(residual - cost, rows, len(paths.topology.nodes))
        low = slower_kind(levels)
        if low is None or one_leaf(low, paths):
            break
        by = float(np.median(levels[low]))
        if by > np.log1p(-SAID_SLOW):  # it is the few others that are told too fast
            break
        touched = low[rows.src] | low[rows.dst]
        cost = np.where(touched, cost + by, cost)
        names = [paths.topology.nodes[at] for at in np.flatnonzero(low)]
        said.append(
            Population(
                ",".join(names[:8]) + (",…" if len(names) > 8 else ""),
                float(np.exp(np.median((levels_ln + cost)[touched]))),
                float(np.exp(np.median(levels_ln))),
                f"{len(names)} of {len(low)} nodes run alike at {np.exp(by):.0%} of the others: "
                "another model, firmware or setting; judged apart",
                "the other nodes of this run",
            )
        )
    return cost, said


def node_levels(residual: Floats, rows: Measured, nodes: int) -> Floats:
    """The upper quartile of what each node took part in; nan for the unseen."""
    fine = np.isfinite(residual)
    who = np.concatenate([rows.src[fine], rows.dst[fine]])
    what = np.concatenate([residual[fine], residual[fine]])
    order = np.lexsort((what, who))
    who, what = who[order], what[order]
    count = np.bincount(who, minlength=nodes)
    at = np.cumsum(count) - count + (count * 3) // 4
    found = np.full(nodes, np.nan)
    seen = count > 0
    found[seen] = what[np.minimum(at[seen], len(what) - 1)]
    return found


def slower_kind(levels: Floats) -> NDArray[np.bool_] | None:
    """At least a quarter of the nodes, and four, that lie together and apart from the rest."""
    ordered = np.sort(levels[np.isfinite(levels)])
    if len(ordered) < 8:
        return None
    gaps = np.diff(ordered)
    at = int(np.argmax(gaps))
    fewer = at + 1
    close = (
        ordered[at] - ordered[at // 4] < gaps[at] / 2
    )  # a broken node among them does not hide it
    if gaps[at] < 0.04 or fewer < max(4, len(ordered) / 4) or not close:
        return None
    low: NDArray[np.bool_] = np.nan_to_num(levels, nan=np.inf) <= ordered[at]
    return low


def one_leaf(low: NDArray[np.bool_], paths: Paths) -> bool:
    """Whether they are just the nodes of one leaf of the only rail: then that leaf is slow."""
    ids = paths.leaf_ids
    return ids.shape[1] == 1 and len(np.unique(ids[low, 0])) == 1 and bool((ids[low, 0] >= 0).all())


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
