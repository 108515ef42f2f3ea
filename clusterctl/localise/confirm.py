"""Which tests to run next: few, side by side, each through one doubtful component and no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import UNKNOWN, Measured
from clusterctl.localise.evidence import Model
from clusterctl.localise.located import Test
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
)

Ints = NDArray[np.int64]
Where = Literal["in", "out", "any"]
WIDE = {HOST: 4, TX: 1, RX: 1, LEAF: 3, UP: 1, DOWN: 1, SPINE: 3, UPS: 6, DOWNS: 6}
# Congestion lasts for some rounds, too, above all on links: slow in fewer is asked again.
STEADY_ROUNDS, STEADY_LINK_ROUNDS = 4, 6
ENOUGH_ROUNDS = 12  # what so many rounds have not settled, one more will not
PEERS_TRIED = 64
SURE = 0.99


def next_tests(
    model: Model, rows: Measured, doubts: Mapping[int, float], settled: AbstractSet[int]
) -> tuple[Test, ...]:
    """One round of tests for the doubts, likeliest first; empty when nothing more is worth asking.

    `doubts` maps components to posteriors.  A component in `settled` that was slow in four rounds,
    a link in six, or any seen in twelve already, is not asked about again.  Every NIC sends at most
    one of the tests and receives at most one, and no uplink or downlink carries two.
    """
    board = Board(model, rows, frozenset(doubts))
    after = int(rows.round.max(initial=-1)) + 1
    found: list[Test] = []
    for component, posterior in sorted(doubts.items(), key=lambda item: (-item[1], item[0])):
        mine = model.rows_of(component)
        slow = mine[model.judged.z[mine] < -model.judged.cut]
        seen, slowed = (len(np.unique(rows.round[at])) for at in (mine, slow))
        sure = component in settled or posterior > SURE
        steady = STEADY_LINK_ROUNDS if int(model.paths.kind[component]) >= UP else STEADY_ROUNDS
        if seen >= ENOUGH_ROUNDS or (sure and slowed >= steady):
            continue
        found += board.ask(component, after)
    return tuple(found)


@dataclass(slots=True)
class Board:
    """What is taken in the round that is being put together."""

    model: Model
    rows: Measured
    doubtful: frozenset[int]
    taken: set[int] = field(default_factory=set)

    def ask(self, component: int, number: int) -> Iterator[Test]:
        paths = self.model.paths
        kind = int(paths.kind[component])
        left = wide = self.wide(component, kind)
        for avoid in (self.doubtful - {component}, frozenset[int]()):
            for src, dst, rail, via in self.ways(component, kind, number):
                links = self.links(src, dst, rail, via)
                if component not in links or links & avoid or self.busy(links):
                    continue
                self.taken |= {one for one in links if paths.kind[one] in {TX, RX, UP, DOWN}}
                names = paths.topology.nodes
                yield Test(0, names[src], names[dst], rail, via if via >= 0 else None)
                left -= 1
                if not left:
                    return
            if left < wide or self.separable(component):
                return

    def wide(self, component: int, kind: int) -> int:
        """How many tests a doubt is worth; where hashing decides, few of a leaf's flows hit it."""
        if kind not in {UPS, DOWNS} or self.pins():
            return WIDE[kind]
        return len(self.members(component - self.model.paths.starts[kind]))

    def separable(self, component: int) -> bool:
        """Whether it is doubted alone: then what stands in the way is only this round's room."""
        return not any(
            other != component
            and set(self.model.rows_of(other).tolist())
            == set(self.model.rows_of(component).tolist())
            for other in self.doubtful
        )

    def busy(self, links: AbstractSet[int]) -> bool:
        return bool(links & self.taken)

    def links(self, src: int, dst: int, rail: int, via: int) -> set[int]:
        """Every component that a test would cross; empty where the fabric has no such path."""
        paths = self.model.paths
        rails = paths.topology.leaf.shape[1]
        start = paths.starts
        a, b = int(paths.leaf_ids[src, rail]), int(paths.leaf_ids[dst, rail])
        found = {
            start[HOST] + src,
            start[HOST] + dst,
            start[TX] + src * rails + rail,
            start[RX] + dst * rails + rail,
        }
        found |= {start[LEAF] + leaf for leaf in (a, b) if leaf >= 0}
        if a != b and a >= 0 and b >= 0:
            found |= {start[UPS] + a, start[DOWNS] + b}
            if via >= 0:
                found |= {
                    start[UP] + a * paths.spines + via,
                    start[DOWN] + b * paths.spines + via,
                    start[SPINE] + via,
                }
        return found

    def ways(self, component: int, kind: int, number: int) -> Iterator[tuple[int, int, int, int]]:
        """Tests that may cross the component, fresh peers first."""
        paths = self.model.paths
        at = component - paths.starts[kind]
        rails = paths.topology.leaf.shape[1]
        if kind == HOST:
            for turn in range(2 * rails):
                rail = turn // 2
                for src, dst, via in self.pairs([at], "any", rail, number + turn):
                    yield (src, dst, rail, via) if turn % 2 else (dst, src, rail, via)
        elif kind in {TX, RX}:
            for one, other, via in self.pairs([at // rails], "any", at % rails, number):
                src, dst = (one, other) if kind == TX else (other, one)
                yield src, dst, at % rails, via
        elif kind == SPINE:
            for leaf in range(len(paths.leaf_of_id)):
                rail = int(paths.leaf_of_id[leaf, 1])
                for src, dst, _ in self.pairs(self.members(leaf), "out", rail, number + leaf):
                    yield src, dst, rail, at
        else:
            leaf = at // paths.spines if kind in {UP, DOWN} else at
            rail = int(paths.leaf_of_id[leaf, 1])
            where: Where = "in" if kind == LEAF else "out"
            for one, other, via in self.pairs(self.members(leaf), where, rail, number):
                src, dst = (other, one) if kind in {DOWN, DOWNS} else (one, other)
                yield src, dst, rail, at % paths.spines if kind in {UP, DOWN} else via

    def members(self, leaf: int) -> list[int]:
        paths = self.model.paths
        rail = int(paths.leaf_of_id[leaf, 1])
        return np.flatnonzero(paths.leaf_ids[:, rail] == leaf).tolist()

    def pairs(
        self, ones: Iterable[int], where: Where, rail: int, turn: int
    ) -> Iterator[tuple[int, int, int]]:
        """(one, other, via): within the leaf, out of it, or any, within first."""
        paths = self.model.paths
        ids = paths.leaf_ids[:, rail]
        everyone = np.arange(len(ids))
        ones = list(ones)
        for shift, one in enumerate(np.roll(ones, -turn).tolist()):
            near = everyone[(ids == ids[one]) & (everyone != one)]
            far = everyone[(ids != ids[one]) & (everyone != one)]
            chosen = {"in": [near], "out": [far], "any": [near, far]}[where]
            for group in chosen:
                fresh = np.roll(group, -(turn * 7 + shift * 3 + one))[:PEERS_TRIED].tolist()
                for step, other in enumerate(fresh):
                    crossing = ids[other] != ids[one] and ids[one] >= 0 and ids[other] >= 0
                    pinned = crossing and self.pins()
                    via = (one + turn + step) % paths.spines if pinned else UNKNOWN
                    yield one, other, via

    def pins(self) -> bool:
        """Whether paths were chosen so far; where hashing decides, none can be asked for."""
        return self.model.paths.topology.uplinks > 0 and bool((self.rows.via >= 0).any())
