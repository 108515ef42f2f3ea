"""What a fault would make of every measured row: its gain in ln density, by component and size.

A rate is the least of what its components let through.  The mixture for paths not known is that of
Flock (CoNEXT 2023).
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
from clusterctl.localise.spells import flapped
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
# Slow all the time; for about half of its tests; on one of a group's links; for whole rounds.
ALWAYS, FLAPPING, ONE_LINK, SPELLS = range(4)
ROOM = 0.05  # ln rate; less is the difference between near and far
SHARED_LEAVES_ROOM = 0.97
ENDPOINTS = (HOST, TX, RX, LEAF)


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
