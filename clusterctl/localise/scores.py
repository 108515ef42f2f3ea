"""How likely one fault more is, of any component, against chance and passing trouble."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterctl.localise.evidence import (
    ENDPOINTS,
    Floats,
    Ints,
    Model,
    State,
    diluted,
    eased,
    gains,
    mixed,
    with_room,
)
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
from clusterctl.localise.spells import Spells, flapping, of_parts, one_spell, spells

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
# Of the modes, before looking: always, flapping, one link, spells.
WEIGHT = np.log([0.85, 0.05, 0.05, 0.05])
GROUP_WEIGHT = np.log([0.4, 0.05, 0.5, 0.05])
OF_NICS = (HOST, LEAF, UPS, DOWNS)  # what several NICs that lie low may be mistaken for
WORTH_A_LOOK = 3.5  # nats on the screen, before the prior
MOST_CANDIDATES = 1500
MOST_ROWS = 80_000  # of all candidates together
ROWS_AT_ONCE = 60_000


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
