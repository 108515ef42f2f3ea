"""Which components explain the slow paths: a rate is the least of what its components let through.

Greedy maximum likelihood, then every finding is taken out, tried again and, where another
component does as well, exchanged.  Evidence is bounded: two slow paths convict, one clean path
across a component clears it.  The mixture for paths not known is that of Flock (CoNEXT 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.paths import (
    DOWN,
    DOWNS,
    HOST,
    LEAF,
    RX,
    SPINE,
    TX,
    UP,
    UPS,
    Paths,
)
from clusterctl.localise.spells import Spells, flapped, flapping, of_parts, one_spell, spells
from clusterctl.localise.verdict import Judged, without

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Before looking, that a component is slow; in the proportions of what fails in practice.
PRIOR = {
    HOST: 3e-4,
    TX: 2.4e-4,
    RX: 2e-4,
    LEAF: 2e-4,
    UP: 2e-4,
    DOWN: 1.9e-4,
    SPINE: 2e-4,
    UPS: 3e-5,
    DOWNS: 2.9e-5,
}
HIDDEN_GROUP = 1e-3  # where no path is known a group stands for all its links
CROWDED = 30.0  # nats by which that falls as all flows come to be held up
OTHER_WAY = 0.05  # that a cable bad one way is bad the other way too
# That something passing holds up all that crosses a component in one round.
EPISODE = {
    HOST: 2e-3,
    TX: 5e-4,
    RX: 5e-4,
    LEAF: 2e-3,
    UP: 5e-3,
    DOWN: 5e-3,
    SPINE: 2e-3,
    UPS: 5e-3,
    DOWNS: 5e-3,
}
LASTS = 0.02  # of what passes on a link, more than one round
# Slow all the time; for about half of its tests; on one of a group's links; for whole rounds.
ALWAYS, FLAPPING, ONE_LINK, SPELLS = range(4)
WEIGHT = np.log([0.85, 0.05, 0.05, 0.05])
GROUP_WEIGHT = np.log([0.4, 0.05, 0.5, 0.05])
ROOM = 0.05  # ln rate; less is the difference between near and far
SHARED_LEAVES_ROOM = 0.97
ENDPOINTS = (HOST, TX, RX, LEAF)
OF_NICS = (HOST, LEAF, UPS, DOWNS)  # what several NICs that lie low may be mistaken for
WORTH_A_LOOK = 3.5  # nats on the screen, before the prior
MOST_CANDIDATES = 1500
MOST_ROWS = 80_000  # of all candidates together
ROWS_AT_ONCE = 60_000
MOST_FAULTS = 60
SETTLED_THRICE = 40  # more faults than these are not tried again: it takes their square


@dataclass(frozen=True, slots=True)
class Fault:
    """A component that slows all its rows (or, by `mode`, some of them) to exp(by)."""

    component: int
    by: float
    mode: int


@dataclass(slots=True)
class State:
    """What the faults found so far predict: ln density of each row, and its ln rate."""

    base: Floats
    level: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """Of some components: what a fault and what passing trouble would explain, in nats.

    `fault` has the prior in it; `by` and `mode` are the likeliest kind of fault.
    """

    component: Ints
    fault: Floats
    none: Floats
    by: Floats
    mode: Ints

    @property
    def odds(self) -> Floats:
        return self.fault - self.none

    def best(self) -> int | None:
        """What explains most among those likelier at fault than not."""
        if not len(self.fault) or not (self.odds > 0).any():
            return None
        return int(np.argmax(np.where(self.odds > 0, self.fault, -np.inf)))


@dataclass(frozen=True, slots=True)
class Model:
    """The rows and everything that is worked out from them once."""

    paths: Paths
    judged: Judged
    number: Ints  # dense round of each row
    rows: Ints  # row numbers by component, then round
    first: Ints  # where each component's rows start
    grid: Floats  # slowdowns that are tried
    log_prior: Floats
    healthy: State
    room: Floats  # ln of a row's healthy rate against its rail's best: what endpoints have over

    def rows_of(self, component: int) -> Ints:
        return self.rows[self.first[component] : self.first[component + 1]]


def model_of(
    paths: Paths, judged: Judged, rounds: NDArray[np.int32], priors: Mapping[str, float]
) -> Model:
    number = np.unique(rounds, return_inverse=True)[1].ravel().astype(np.int64)
    slots, at = np.nonzero(paths.crossed >= 0)
    component = paths.crossed[slots, at].astype(np.int64)
    order = np.lexsort((number[at], component))
    first = np.searchsorted(component[order], np.arange(paths.count + 1))
    hidden = paths.cross & (paths.crossed[6] < 0)
    log_prior = np.log(np.array([PRIOR[kind] for kind in range(9)]))[paths.kind]
    if hidden.any():
        group = paths.kind >= UPS
        # Where many flows are slow anyway, they meet on links: then a group's share says little.
        crowd = max(float(np.median(judged.noise.tail[hidden])) - 0.1, 0.0)
        log_prior[group] = np.log(HIDDEN_GROUP)
        log_prior[group | (paths.kind == LEAF)] -= CROWDED * crowd
    place = {paths.name(at): at for at in range(paths.count)} if priors else {}
    for name, odds in priors.items():
        if (found := place.get(name)) is not None and odds > 0:
            # Bounded: counters help a slow path to be believed, and convict nobody.
            log_prior[found] += float(np.clip(np.log(odds), -4, 4))
    count = int(np.ceil(np.log(3.0 / judged.smallest) / np.log(1.25))) + 1
    grid: Floats = -judged.smallest * 1.25 ** np.arange(count, dtype=np.float64)
    residual = judged.residual
    healthy = State(judged.noise.log_healthy(residual), np.zeros(len(residual)))
    room = headroom(judged, paths)
    return Model(paths, judged, number, at[order], first, grid, log_prior, healthy, room)


def headroom(judged: Judged, paths: Paths) -> Floats:
    """Flows that share a link leave their NICs idle in part: a NIC at 70 % does not slow halves."""
    level = np.log(judged.healthy_gbit_s)
    rail = (paths.crossed[2] - paths.starts[TX]) % paths.topology.leaf.shape[1]
    best = np.full(paths.topology.leaf.shape[1], -np.inf)
    np.maximum.at(best, rail, np.where(paths.cross, -np.inf, level))
    apart = level - best[rail]
    return np.where(np.isfinite(apart) & (apart < -ROOM), apart, 0.0)


def relearned(model: Model, faults: Sequence[Fault]) -> Model:
    """The model with passing trouble measured on the rows that the faults leave unexplained."""
    state = after(model, faults)
    judged = without(model.judged, model.paths, state.level < 0)
    base = judged.noise.log_healthy(judged.residual)
    return replace(model, judged=judged, healthy=State(base, np.zeros(len(base))))


def screen(model: Model) -> Ints:
    """Components that some slowdown could explain better than chance: worth exact scores."""
    paths, residual = model.paths, model.judged.residual
    best = np.full(paths.count, -np.inf)
    # A row well above its level speaks against every fault, and says it alike for all.
    for by in model.grid:
        gain = model.judged.noise.log_slowed(residual, np.array([by]), slice(None))[:, 0]
        gain -= model.healthy.base
        half = np.log1p(0.5 * np.expm1(np.minimum(gain, 50)))
        some = np.log1p(paths.share * np.expm1(np.minimum(gain, 50)))
        if model.room.any():
            every = np.arange(len(residual))
            left = eased(model, model.healthy, every, np.array([by]))
            near = mixed(model, every, gain[:, None], left)[:, 0]
        else:
            near = gain
        for values, slots in ((gain, range(11)), (half, range(11)), (some, (9, 10))):
            total = np.zeros(paths.count)
            for slot in slots:
                crossed = paths.crossed[slot]
                there = crossed >= 0
                chosen = half if values is gain and slot < 2 and paths.alone.any() else values
                weight = np.where(paths.alone, chosen, values) if slot < 2 else values
                if slot < 6 and values is gain:
                    weight = np.maximum(weight, near)
                total += np.bincount(crossed[there], weight[there], paths.count)
            np.maximum(best, total, out=best)
    found = np.flatnonzero(best > WORTH_A_LOOK)
    found = found[np.argsort(-best[found], kind="stable")][:MOST_CANDIDATES]
    # Where half of everything is broken, all would be candidates, and nothing be clear anyway.
    return found[np.cumsum(np.diff(model.first)[found]) <= MOST_ROWS]


def score(model: Model, state: State, components: Ints, log_prior: Floats) -> Scores:
    """Exact odds, in batches that fit the memory."""
    counts = model.first[components + 1] - model.first[components]
    batch = np.cumsum(counts) // ROWS_AT_ONCE
    parts = [
        score_some(model, state, components[batch == one], log_prior) for one in np.unique(batch)
    ]
    if not parts:
        empty = np.zeros(0)
        whole = np.zeros(0, dtype=np.int64)
        return Scores(whole, empty, empty, empty, whole)
    return Scores(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("component", "fault", "none", "by", "mode")
        )
    )


def score_some(model: Model, state: State, components: Ints, log_prior: Floats) -> Scores:
    paths = model.paths
    counts = model.first[components + 1] - model.first[components]
    rows = np.concatenate([model.rows_of(one) for one in components.tolist()])
    starts = np.cumsum(counts) - counts
    kind = paths.kind[components].astype(np.int64)
    of_row = np.repeat(kind, counts)
    gain = gains(model, state, rows, model.grid)
    gain = with_room(model, state, rows, model.grid, gain, endpoint=np.isin(of_row, ENDPOINTS))
    shares = np.where((of_row == HOST) & paths.alone[rows], 0.5, 1.0)
    grouped = of_row >= UPS
    always = diluted(gain, shares)
    sums = [np.add.reduceat(always, starts), np.add.reduceat(diluted(gain, 0.5 * shares), starts)]
    if grouped.any():
        part = np.where(grouped, paths.share[rows], 0.0)
        sums.append(np.add.reduceat(diluted(gain, part), starts))
    else:
        sums.append(np.full_like(sums[0], -np.inf))
    rounds = spells(model.number[rows], counts)
    by_round = rounds.sums(always)
    sums.append(rounds.total(flapping(by_round)))
    weights = np.where((kind >= UPS)[:, None], GROUP_WEIGHT, WEIGHT)
    stacked = np.stack(sums, axis=1) + weights[:, :, None]  # components, modes, slowdowns
    flat = stacked.reshape(len(components), -1)
    fault = log_sum(flat) - np.log(len(model.grid))
    best = flat.argmax(axis=1)
    # A healthy part may lie a little low for good: that is no fault, and no chance either.
    small = model.grid[0] * np.array([0.25, 0.5, 0.75])
    lesser = gains(model, state, rows, small)
    lesser = with_room(model, state, rows, small, lesser, endpoint=np.isin(of_row, ENDPOINTS))
    low = np.add.reduceat(diluted(lesser, shares), starts)
    lag = np.concatenate([small, model.grid])
    born = np.concatenate([low, sums[0]], axis=1) - 0.5 * (lag / model.judged.spread) ** 2
    held = passing(by_round, rounds.sums(diluted(always, 0.5)), rounds, kind)
    own = parts_of(paths, rows, np.repeat(components, counts), of_row)
    differ = of_parts(np.concatenate([lesser, gain], axis=1), own, counts, lag, model.judged.spread)
    differ[~np.isin(kind, OF_NICS)] = -np.inf
    none = np.maximum(np.maximum(held, differ), born.max(axis=1))
    return Scores(
        components,
        fault + log_prior[components],
        none,
        model.grid[best % len(model.grid)],
        best // len(model.grid),
    )


def gains(model: Model, state: State, rows: Ints, by: Floats) -> Floats:
    """(rows, slowdowns): what each would add to the ln density of a row."""
    found = model.judged.noise.log_slowed(model.judged.residual[rows], by, rows)
    found -= state.base[rows][:, None]
    found[by[None, :] >= state.level[rows][:, None]] = 0.0
    return found


def eased(model: Model, state: State, rows: Ints, by: Floats) -> Floats:
    """The same where what is slow binds only below the row's own healthy rate."""
    left = np.minimum(by[None, :] - model.room[rows][:, None], 0.0)
    noise = model.judged.noise
    found = np.zeros(left.shape)
    for at in range(len(by)):
        one = noise.log_slowed_each(model.judged.residual[rows], left[:, at], rows)
        one -= state.base[rows]
        # Less than a fault must cost is no more than how rates lean.
        unseen = left[:, at] >= np.minimum(state.level[rows], -model.judged.smallest)
        found[:, at] = np.where(unseen, 0.0, one)
    return found


def mixed(model: Model, rows: Ints, whole: Floats, left: Floats) -> Floats:
    """Either may be how it is; where flows were seen to share a link, mostly that room is left."""
    shared = model.judged.stratum[rows] > 1
    part = np.where(shared, SHARED_LEAVES_ROOM, 0.5)[:, None]
    found: Floats = np.logaddexp(np.log(1 - part) + whole, np.log(part) + left)
    return found


def with_room(
    model: Model,
    state: State,
    rows: Ints,
    by: Floats,
    gain: Floats,
    *,
    endpoint: NDArray[np.bool_],
) -> Floats:
    """Gains of rows that cross an endpoint with room to spare, both readings weighed."""
    at = np.flatnonzero(endpoint & (model.room[rows] < 0))
    if len(at):
        gain[at] = mixed(model, rows[at], gain[at], eased(model, state, rows[at], by))
    return gain


def diluted(gain: Floats, share: Floats | float) -> Floats:
    """ln((1-share) + share·exp(gain)): where only some rows would be touched."""
    share = np.asarray(share)
    if share.ndim and (share == 1).all():
        return gain
    column = share[:, None] if share.ndim else share
    with np.errstate(divide="ignore"):
        mixed: Floats = np.log1p(column * np.expm1(np.minimum(gain, 50)))
    return np.where(column == 1, gain, mixed)


def log_sum(values: Floats) -> Floats:
    top = values.max(axis=1)
    found: Floats = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return found


def passing(whole: Floats, partly: Floats, rounds: Spells, kind: Ints) -> Floats:
    """Ln likelihood of no fault, when each round may have had its own trouble, or, of links,
    some rounds on end the same: what others send there.
    """
    both = np.concatenate([whole, partly], axis=1)
    by_round = log_sum(both) - np.log(both.shape[1])
    chance = np.array([EPISODE[one] for one in range(9)])[kind[rounds.owner]]
    held = np.logaddexp(np.log1p(-chance), np.log(chance) + by_round)
    lasting = np.where(kind >= UP, np.log(LASTS * EPISODE[UP]), -np.inf)
    return np.logaddexp(rounds.total(held), lasting + one_spell(whole, rounds))


def parts_of(paths: Paths, rows: Ints, component: Ints, kind: Ints) -> Ints:
    """The NIC by which each row crosses the component: its sender's, unless that is elsewhere."""
    near = np.where(kind == HOST, paths.crossed[0, rows], paths.crossed[4, rows])
    sends = (kind == UPS) | ((kind != DOWNS) & (near == component))
    found: Ints = np.where(sends, paths.crossed[2, rows], paths.crossed[3, rows])
    return found


def after(model: Model, faults: Sequence[Fault]) -> State:
    """The state when these faults are taken for true."""
    state = State(model.healthy.base.copy(), model.healthy.level.copy())
    for fault in sorted(faults, key=lambda one: one.mode):  # certain ones set the level first
        add(model, state, fault)
    return state


def add(model: Model, state: State, fault: Fault) -> None:
    rows = model.rows_of(fault.component)
    by = np.array([fault.by])
    kind = int(model.paths.kind[fault.component])
    roomy = (model.room[rows] < 0) & (kind in ENDPOINTS)
    gain = gains(model, state, rows, by)
    # Its rows say together whether it slows them as they are or only what they have over.
    if roomy.any() and gain[roomy].sum() < eased(model, state, rows[roomy], by).sum():
        gain = with_room(model, state, rows, by, gain, endpoint=roomy)
    else:
        roomy[:] = False
    gain = gain[:, 0]
    if fault.mode == ALWAYS:
        sure = ~roomy & ~(model.paths.alone[rows] & (kind == HOST))
        share = np.where(model.paths.alone[rows] & (kind == HOST), 0.5, 1.0)
        lower = sure & (fault.by < state.level[rows])
        state.level[rows[lower]] = fault.by
    elif fault.mode == ONE_LINK:
        share = model.paths.share[rows]
    else:
        share = np.full(len(rows), 0.5)
    if fault.mode == SPELLS:
        state.base[rows] += flapped(gain, model.number[rows])
    else:
        state.base[rows] += diluted(gain[:, None], share)[:, 0]
    hidden = hidden_rows(model, fault.component)
    if len(hidden):
        part = gains(model, state, hidden, by)
        state.base[hidden] += diluted(part, model.paths.share[hidden])[:, 0]


def hidden_rows(model: Model, component: int) -> Ints:
    """Rows whose path is not said and may have crossed this link or spine."""
    paths = model.paths
    kind = int(paths.kind[component])
    at = component - paths.starts[kind]
    unsaid = paths.cross & (paths.crossed[6] < 0)
    if kind == UP:
        unsaid &= paths.crossed[9] == paths.starts[UPS] + at // paths.spines
    elif kind == DOWN:
        unsaid &= paths.crossed[10] == paths.starts[DOWNS] + at // paths.spines
    elif kind != SPINE:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(unsaid)


def priors_with(model: Model, faults: Sequence[Fault]) -> Floats:
    """One way of a cable being bad makes the other likelier."""
    found = model.log_prior
    twins = [twin for one in faults if (twin := other_way(model.paths, one.component)) is not None]
    if twins:
        found = found.copy()
        found[twins] = np.maximum(found[twins], np.log(OTHER_WAY))
    return found


def other_way(paths: Paths, component: int) -> int | None:
    kind = int(paths.kind[component])
    turned = {TX: RX, RX: TX, UP: DOWN, DOWN: UP, UPS: DOWNS, DOWNS: UPS}.get(kind)
    if turned is None:
        return None
    return component - paths.starts[kind] + paths.starts[turned]


def neighbours(model: Model, component: int, among: Ints) -> Ints:
    """Those of `among` that share a row with the component, itself too."""
    crossed = np.unique(model.paths.crossed[:, model.rows_of(component)])
    hidden = hidden_rows(model, component)
    if len(hidden):
        crossed = np.union1d(crossed, np.unique(model.paths.crossed[:, hidden]))
    found: Ints = among[np.isin(among, crossed)]
    return found


def greedy(model: Model, candidates: Ints) -> list[Fault]:
    """Faults added one by one, the surest first."""
    state = after(model, ())
    found: list[Fault] = []
    scores = score(model, state, candidates, model.log_prior)
    place = {int(one): at for at, one in enumerate(scores.component)}
    while len(found) < MOST_FAULTS and (at := scores.best()) is not None:
        fault = Fault(int(scores.component[at]), float(scores.by[at]), int(scores.mode[at]))
        found.append(fault)
        add(model, state, fault)
        near = neighbours(model, fault.component, scores.component)
        again = score(model, state, near, priors_with(model, found))
        where = [place[int(one)] for one in again.component]
        for name in ("fault", "none", "by", "mode"):
            getattr(scores, name)[where] = getattr(again, name)
        scores.fault[[place[one.component] for one in found]] = -np.inf
    return found


def settle(model: Model, candidates: Ints, faults: list[Fault]) -> list[Fault]:
    """Each fault taken out and tried again: dropped, kept, or exchanged for a better one."""
    for _ in range(3 if len(faults) <= SETTLED_THRICE else 0):
        before = {one.component for one in faults}
        for fault in faults:
            rest = [one for one in faults if one is not fault]
            taken = np.array([one.component for one in rest], dtype=np.int64)
            near = neighbours(model, fault.component, candidates)
            near = near[~np.isin(near, taken)]
            scores = score(model, after(model, rest), near, priors_with(model, rest))
            at = scores.best()
            faults = rest
            if at is not None:
                faults = [
                    *rest,
                    Fault(int(near[at]), float(scores.by[at]), int(scores.mode[at])),
                ]
        if {one.component for one in faults} == before:
            break
    return faults
