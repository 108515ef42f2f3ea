"""Which pairs to measure, round by round, so that no test slows another.

Within a round every NIC sends at most one flow and receives at most one, and every uplink and
downlink carries at most one, where the number of uplinks is known.  A round is the unit of resume:
rounds are complete in themselves, in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clusterctl.localise.columns import MISSING, UNKNOWN, Measured, Topology
from clusterctl.model import UserError

Mode = Literal["quick", "default", "exhaustive"]
Ints = NDArray[np.int32]
LARGE = 512  # nodes; above it six rounds, so that 10,000 NICs leave no chance pattern
TRIES = 6  # shuffles of a leaf, of which the one that repeats fewest pairs is taken


def plan(
    topology: Topology, *, rounds: int = 0, mode: Mode = "default", rng: Generator
) -> Measured:
    """Every test as a row whose `gbit_s` is nan and whose `status` is MISSING.

    `rounds` 0: as many as `mode` says.  `via` is the spine that keeps flows apart, UNKNOWN within
    a leaf and where uplinks are not known.  Both directions of a pair are rows of one round.
    """
    made = list(each_round(topology, rounds=rounds, mode=mode, rng=rng))
    return join(made or [nothing()])


def each_round(
    topology: Topology, *, rounds: int = 0, mode: Mode = "default", rng: Generator
) -> Iterator[Measured]:
    """The same, one round at a time: an exhaustive plan of 1,280 nodes has 13 million rows."""
    makers: list[Sampler] | list[Exhaustive]
    if mode == "exhaustive":
        makers = [Exhaustive(topology, rails, rng) for rails in rail_groups(topology)]
        last = max(one.rounds for one in makers)
    else:
        makers = [Sampler(topology, rails, rng) for rails in rail_groups(topology)]
        last = rounds or default_rounds(topology, mode)
    number = 0
    for step in range(last):
        made = join([one.round(step) for one in makers])
        if len(made.src):  # a leaf of one node has nobody to meet inside it
            made.round[:] = number
            number += 1
            yield made


def default_rounds(topology: Topology, mode: Mode) -> int:
    """Two are quick; four name a link; six do among 10,000 NICs, or where leaves are not known."""
    if mode == "quick":
        return 2
    hidden = bool((topology.leaf == UNKNOWN).all())
    return 6 if hidden or len(topology.nodes) > LARGE else 4


def rounds_for(topology: Topology, budget_s: float, round_s: float) -> int:
    """As many rounds as fit.  Raises UserError where not one does."""
    if not round_s > 0 or not budget_s >= round_s:
        raise UserError(
            f"--budget: {budget_s:g} s holds no round of {round_s:g} s; give at least {round_s:g}s"
        )
    return int(min(budget_s // round_s, max(2 * len(topology.nodes), 2)))


def single_rail_round(topology: Topology, number: int, rng: Generator) -> Measured:
    """One more round in which every node uses one rail only.

    What is slow when all rails run and is not in here is the host, not a NIC.
    """
    full = join([Sampler(topology, rails, rng).round(number) for rails in rail_groups(topology)])
    low, high = np.minimum(full.src, full.dst), np.maximum(full.src, full.dst)
    mine = (low + high + number) % topology.leaf.shape[1]
    keep = full.rail == mine
    # Rails whose leaves differ pair differently: a node must not be drawn on two of them.
    busy: set[int] = set()
    for row in np.flatnonzero(keep & (full.src < full.dst)):
        ends = {int(full.src[row]), int(full.dst[row])}
        clash = bool(ends & busy)
        busy |= ends
        if clash:
            keep &= ~((low == low[row]) & (high == high[row]))
    return take(full, keep)


def rail_groups(topology: Topology) -> list[Ints]:
    """Rails that hang on equal leaves are paired alike."""
    found: dict[bytes, list[int]] = {}
    for rail in range(topology.leaf.shape[1]):
        found.setdefault(np.ascontiguousarray(topology.leaf[:, rail]).tobytes(), []).append(rail)
    return [np.array(rails, dtype=np.int32) for rails in found.values()]


def circle(size: int, factor: int) -> list[tuple[int, int]]:
    """Round `factor` of the tournament in which each meets each once; odd sizes leave one out."""
    even = size + size % 2
    if even < 2:
        return []
    ring = even - 1
    pairs = [(ring, factor % ring)]
    pairs += [((factor + k) % ring, (factor - k) % ring) for k in range(1, even // 2)]
    return [(a, b) for a, b in pairs if a < size and b < size]


def leaves_of(topology: Topology, rail: int) -> list[Ints]:
    """The nodes of each leaf of a rail; those whose leaf is not known are one group."""
    column = topology.leaf[:, rail]
    return [np.flatnonzero(column == leaf).astype(np.int32) for leaf in np.unique(column)]


class Sampler:
    """A round inside the leaves, then rounds between leaves that change partners every time."""

    def __init__(self, topology: Topology, rails: Ints, rng: Generator) -> None:
        self.topology, self.rails, self.rng = topology, rails, rng
        self.leaves = leaves_of(topology, int(rails[0]))
        self.tests = np.zeros(len(topology.nodes), dtype=np.int64)
        self.crossed = np.zeros(len(topology.nodes), dtype=np.int64)
        self.met: set[tuple[int, int]] = set()
        self.order = rng.permutation(len(topology.nodes))
        self.first = int(rng.integers(0, 1 << 16))

    def round(self, number: int) -> Measured:
        if len(self.leaves) == 1:
            nodes = self.order
            inside = [(int(nodes[a]), int(nodes[b])) for a, b in circle(len(nodes), number)]
            return self.rows(number, inside, [])
        if number == 0 and any(len(leaf) > 1 for leaf in self.leaves):
            return self.rows(number, self.within([*self.leaves]), [])
        cross: list[tuple[int, int, int]] = []
        rest: list[Ints] = []
        factor = self.first + number - 1
        pairs = circle(len(self.leaves), factor)
        alone = set(range(len(self.leaves))) - {leaf for pair in pairs for leaf in pair}
        for x, y in pairs:
            left, right, m = self.ends(x, y)
            shift = int(self.rng.integers(0, 1 << 16))
            if m < self.topology.uplinks:
                shift = self.first + number * m  # rounds tile the uplinks
            cross += [
                (int(a), int(b), p + shift)
                for p, (a, b) in enumerate(zip(left[:m], right[:m], strict=True))
            ]
            rest += [left[m:], right[m:]]
        rest += [self.leaves[leaf] for leaf in alone]
        return self.rows(number, self.within(rest), cross)

    def ends(self, x: int, y: int) -> tuple[Ints, Ints, int]:
        """The nodes of two leaves, those first that crossed least, and how many pairs may."""
        left, right = (self.rested(self.leaves[leaf], self.crossed) for leaf in (x, y))
        m = min(len(left), len(right), self.topology.uplinks or len(left))
        best = min(
            (self.rng.permutation(m) for _ in range(TRIES)),
            key=lambda order: sum(
                (min(a, b), max(a, b)) in self.met
                for a, b in zip(left[:m].tolist(), right[order].tolist(), strict=True)
            ),
        )
        return left, np.concatenate([right[best], right[m:]]), m

    def rested(self, nodes: Ints, count: NDArray[np.int64]) -> Ints:
        shuffled = self.rng.permutation(nodes)
        found: Ints = shuffled[np.argsort(count[shuffled], kind="stable")]
        return found

    def within(self, groups: list[Ints]) -> list[tuple[int, int]]:
        """Pairs inside each group; who is left out of an odd one was tested most so far."""
        found: list[tuple[int, int]] = []
        for group in groups:
            chosen = self.rested(group, self.tests)[: len(group) // 2 * 2]
            best: list[tuple[int, int]] = []
            fewest = len(chosen) + 1
            for _ in range(TRIES):
                mixed = self.rng.permutation(chosen).tolist()
                pairs = [(min(p), max(p)) for p in zip(mixed[::2], mixed[1::2], strict=True)]
                again = sum(pair in self.met for pair in pairs)
                if again < fewest:
                    best, fewest = pairs, again
                if not again:
                    break
            found += best
        return found

    def rows(
        self, number: int, inside: list[tuple[int, int]], cross: list[tuple[int, int, int]]
    ) -> Measured:
        for a, b in [*inside, *((a, b) for a, b, _ in cross)]:
            self.met.add((min(a, b), max(a, b)))
            self.tests[[a, b]] += 1
        for a, b, _ in cross:
            self.crossed[[a, b]] += 1
        return both_ways(self.topology, self.rails, number, inside, cross)


class Exhaustive:
    """Each meets each once; leaves meet as wholes, so that every round fits the fabric."""

    def __init__(self, topology: Topology, rails: Ints, rng: Generator) -> None:
        self.topology, self.rails = topology, rails
        order = rng.permutation(len(topology.nodes)).astype(np.int32)
        column = topology.leaf[:, rails[0]]
        self.leaves = [order[column[order] == leaf] for leaf in np.unique(column)]
        self.calendar = list(self.days())
        self.rounds = len(self.calendar)

    def days(self) -> Iterator[tuple[list[tuple[int, int]], int, int]]:
        """(leaf pairs, shift, slice) a round; an empty list of pairs is a round inside leaves."""
        size = max(len(leaf) for leaf in self.leaves)
        slots = self.topology.uplinks or size
        slices = -(-size // slots)
        for factor in range(size - 1 + size % 2):
            yield [], factor, 0
        count = len(self.leaves)
        for factor in range(count - 1 + count % 2 if count > 1 else 0):
            pairs = circle(count, factor)
            for shift in range(size):
                for part in range(slices):
                    yield pairs, shift, part

    def round(self, number: int) -> Measured:
        if number >= self.rounds:
            return both_ways(self.topology, self.rails, number, [], [])
        pairs, shift, part = self.calendar[number]
        inside: list[tuple[int, int]] = []
        cross: list[tuple[int, int, int]] = []
        if not pairs:
            for leaf in self.leaves:
                if shift < len(leaf) - 1 + len(leaf) % 2:
                    inside += [(int(leaf[a]), int(leaf[b])) for a, b in circle(len(leaf), shift)]
        for x, y in pairs:
            cross += self.meeting(self.leaves[x], self.leaves[y], shift, part, number)
        return both_ways(self.topology, self.rails, number, inside, cross)

    def meeting(
        self, left: Ints, right: Ints, shift: int, part: int, number: int
    ) -> Iterator[tuple[int, int, int]]:
        wide = max(len(left), len(right), *(len(leaf) for leaf in self.leaves))
        slots = self.topology.uplinks or wide
        for position in range(part * slots, min((part + 1) * slots, wide)):
            other = (position + shift) % wide
            if position < len(left) and other < len(right):
                yield int(left[position]), int(right[other]), position + number


def both_ways(
    topology: Topology,
    rails: Ints,
    number: int,
    inside: list[tuple[int, int]],
    cross: list[tuple[int, int, int]],
) -> Measured:
    """Rows for every rail: there and back, over different spines."""
    uplinks = topology.uplinks
    a, b, slot = (
        np.array(column, dtype=np.int64).reshape(-1)
        for column in (
            [one[0] for one in inside] + [one[0] for one in cross],
            [one[1] for one in inside] + [one[1] for one in cross],
            [UNKNOWN] * len(inside) + [one[2] for one in cross],
        )
    )
    parts = []
    for rail in rails.tolist():
        for src, dst, turn in ((a, b, 0), (b, a, 3)):
            spine = (slot + 5 * rail + turn) % max(uplinks, 1)
            via = np.where((slot >= 0) & (uplinks > 0), spine, UNKNOWN)
            parts.append((src, dst, np.full(len(src), rail), via))
    src, dst, rail_of, via = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Measured(
        np.full(len(src), number, dtype=np.int32),
        src.astype(np.int32),
        dst.astype(np.int32),
        rail_of.astype(np.int32),
        via.astype(np.int32),
        np.full(len(src), np.nan),
        np.full(len(src), MISSING, dtype=np.int8),
    )


def join(parts: list[Measured]) -> Measured:
    """Rows of all parts, one after the other."""
    return Measured(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("round", "src", "dst", "rail", "via", "gbit_s", "status")
        )
    )


def nothing() -> Measured:
    """No rows."""
    none = np.zeros(0, dtype=np.int32)
    return Measured(none, none, none, none, none, np.zeros(0), np.zeros(0, dtype=np.int8))


def take(measured: Measured, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Measured:
    """Some of the rows."""
    return Measured(
        *(
            getattr(measured, name)[rows]
            for name in ("round", "src", "dst", "rail", "via", "gbit_s", "status")
        )
    )
