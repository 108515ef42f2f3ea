"""A two-level fabric that carries flows, with faults planted and noise as measured on real ones.

Flows share what they cross: a round is filled to max-min fairness over every directed link, so
two flows on one uplink get half each where the uplink has one NIC's worth to give.  This file
knows nothing of how clusterctl judges, and clusterctl's own tests do not use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology

LINE_GBIT_S = 400.0
# The mix and the sizes of faults that the targets are stated for.
MIX = {"nic-tx": 30, "nic-rx": 25, "uplink": 15, "downlink": 14, "host": 10, "leaf": 4, "spine": 2}
SIZES = (0.25, 0.5, 0.5, 0.7, 0.8, 0.9, 0.93)


@dataclass(frozen=True, slots=True)
class Shape:
    nodes: int = 256
    rails: int = 8
    leaf_size: int = 32
    uplinks: int = 32
    uplink_capacity: float = 1.0  # in NICs
    missing_leaf_ports: int = 0  # nodes absent from the last leaf: unequal leaves
    per_flow: bool = False  # a slow link bounds each flow for itself, however many cross it
    sizes: tuple[int, ...] = ()  # of leaves, in place of nodes and leaf_size
    # Leaves are groups with a link to each other one; `via` is how many groups it leads on.
    dragonfly: bool = False

    def leaf_of(self) -> NDArray[np.int32]:
        """The leaf of each node, on every rail."""
        if self.sizes:
            return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)
        count = self.nodes - self.missing_leaf_ports
        return np.arange(count, dtype=np.int32) // self.leaf_size


@dataclass(frozen=True, slots=True)
class Noise:
    sigma: float = 0.01
    heavy: bool = False  # student t with 4 degrees in place of normal
    spread: float = 0.007  # of each NIC, for good
    transient_share: float = 0.01
    transient: tuple[float, float] = (0.6, 0.97)
    congested_uplinks: float = 0.005  # of all uplinks, each for one whole round
    congested: tuple[float, float] = (0.5, 0.95)
    congested_rounds: float = 1.0  # that it lasts on average
    missing: float = 0.0
    failed_healthy: float = 0.0
    rail_spread: float = 0.0  # rails differ for good: another cable length, another firmware
    cross_leaf: float = 1.0  # what a path over the spine gets of one inside a leaf, all healthy
    quantum_gbit_s: float = 0.0  # what a tool rounds its figure to
    slow_rail: float = 1.0  # what every path of rail 0 gets of it


EASY = Noise(spread=0.0, transient_share=0.0, congested_uplinks=0.0)
HARSH = Noise()
STRESS = Noise(sigma=0.02, transient_share=0.05)


@dataclass(frozen=True, slots=True)
class Fault:
    component: str
    rate: float
    kind: str
    at: tuple[int, ...]  # node; node, rail; leaf, rail; leaf, rail, spine; spine
    dead: bool = False
    duty: float = 1.0  # share of rounds in which it shows
    load_only: bool = False  # of a host: shows only where half of its rails send at once


@dataclass(slots=True)
class World:
    shape: Shape
    noise: Noise
    mode: str  # pinned, hashed, sprayed
    faults: tuple[Fault, ...]
    rng: Generator
    nic: NDArray[np.float64] = field(init=False)  # (2, nodes, rails)
    leaf: NDArray[np.int32] = field(init=False)  # of each node
    busy: NDArray[np.float64] = field(init=False)  # (2, leaves, rails, uplinks): what is left

    def __post_init__(self) -> None:
        shape, noise = self.shape, self.noise
        self.leaf = shape.leaf_of()
        rails = 1 + noise.rail_spread * self.rng.uniform(-1, 1, shape.rails)
        rails[0] *= noise.slow_rail
        size = (2, len(self.leaf), shape.rails)
        self.nic = np.exp(self.rng.normal(0, noise.spread, size)) * rails
        self.busy = np.ones((2, int(self.leaf.max()) + 1, shape.rails, shape.uplinks))

    def congest(self) -> None:
        """A round passes: some links get busy, some that were are free again."""
        noise, rng = self.noise, self.rng
        if noise.congested_rounds > 1:
            self.busy[rng.random(self.busy.shape) < 1 / noise.congested_rounds] = 1.0
        else:
            self.busy[:] = 1.0
        for links in self.busy:
            begins = rng.random(links.shape) < noise.congested_uplinks / 2 / noise.congested_rounds
            links[begins] *= rng.uniform(*noise.congested, begins.sum())

    def topology(self) -> Topology:
        return topology(self.shape)

    def measure(self, rows: Measured) -> Measured:
        """The same rows with what each carried; `via` is what the mode lets a tool know."""
        out = replace(
            rows,
            via=rows.via.copy(),
            gbit_s=np.full(len(rows.src), np.nan),
            status=np.full(len(rows.src), MISSING, dtype=np.int8),
        )
        for number in np.unique(rows.round):
            at = np.flatnonzero(rows.round == number)
            self.fill(out, at)
        return out

    def fill(self, out: Measured, at: NDArray[np.intp]) -> None:
        shape, noise, rng = self.shape, self.noise, self.rng
        src, dst, rail = out.src[at], out.dst[at], out.rail[at]
        leaf_from, leaf_to = self.leaf[src], self.leaf[dst]
        cross = leaf_from != leaf_to
        via = np.where(out.via[at] >= 0, out.via[at], rng.integers(0, shape.uplinks, len(at)))
        if self.mode == "hashed":
            via = rng.integers(0, shape.uplinks, len(at))
        if shape.dragonfly:
            via = (leaf_to - leaf_from) % shape.uplinks
        rate, dead = self.carried((src, dst, rail, leaf_from, leaf_to, cross, via))
        jitter = (
            rng.standard_t(4, len(at)) / np.sqrt(2) if noise.heavy else rng.normal(size=len(at))
        )
        rate = rate * np.exp(noise.sigma * jitter) * np.where(cross, noise.cross_leaf, 1.0)
        hit = rng.random(len(at)) < noise.transient_share
        rate[hit] *= rng.uniform(*noise.transient, hit.sum())
        gbit_s = rate * LINE_GBIT_S * 0.96
        if noise.quantum_gbit_s:
            gbit_s = np.round(gbit_s / noise.quantum_gbit_s) * noise.quantum_gbit_s
        status = np.full(len(at), OK, dtype=np.int8)
        status[dead | (rng.random(len(at)) < noise.failed_healthy)] = FAILED
        status[rng.random(len(at)) < noise.missing] = MISSING
        gbit_s[status != OK] = np.nan
        out.gbit_s[at], out.status[at] = gbit_s, status
        known = cross if self.mode == "pinned" else np.zeros(len(at), dtype=bool)
        out.via[at] = np.where(known, via, UNKNOWN)

    def carried(self, flows):
        """Share of a NIC's line rate that each flow of a round gets; which of them are dead."""
        src, dst, rail, leaf_from, leaf_to, cross, via = flows
        shape, rng, U = self.shape, self.rng, self.shape.uplinks  # noqa: N806 - as in the papers
        leaves, rails = self.busy.shape[1], shape.rails
        tx, rx = self.nic[0].copy(), self.nic[1].copy()
        self.congest()
        up, down = shape.uplink_capacity * self.busy
        if shape.dragonfly:  # one link from group to group
            down = np.full_like(down, np.inf)
        cap = np.full(len(src), np.inf)  # faults that bound each flow for itself: host, leaf, spine
        dead = np.zeros(len(src), dtype=bool)
        for fault in self.faults:
            if rng.random() >= fault.duty:
                continue
            crossed = self.apply(fault, (tx, rx), (up, down), flows)
            if crossed is not None:
                cap[crossed] = np.minimum(cap[crossed], fault.rate)
                dead[crossed] |= fault.dead
        n = len(src)
        nodes = tx.shape[0]
        base_rx, base_up = nodes * rails, 2 * nodes * rails
        base_down = base_up + up.size
        capacity = np.concatenate([tx.ravel(), rx.ravel(), up.ravel(), down.ravel()])
        paths = np.full((n, 4), -1)
        paths[:, 0] = src * rails + rail
        paths[:, 1] = base_rx + dst * rails + rail
        if self.mode == "sprayed":
            share_up = up.sum(axis=2) / shape.uplinks
            share_down = down.sum(axis=2) / shape.uplinks
            load_up = np.zeros((leaves, rails))
            np.add.at(load_up, (leaf_from[cross], rail[cross]), 1)
            load_down = np.zeros((leaves, rails))
            np.add.at(load_down, (leaf_to[cross], rail[cross]), 1)
            out_room = share_up[leaf_from, rail] * U / np.maximum(load_up[leaf_from, rail], 1)
            in_room = share_down[leaf_to, rail] * U / np.maximum(load_down[leaf_to, rail], 1)
            # spraying stalls on its slowest lane as far as its window goes: the mean, here
            slow = np.minimum(share_up[leaf_from, rail], share_down[leaf_to, rail])
            cap = np.where(
                cross,
                np.minimum(
                    cap, np.minimum(np.minimum(out_room, in_room), slow / shape.uplink_capacity)
                ),
                cap,
            )
        else:
            paths[cross, 2] = base_up + (leaf_from[cross] * rails + rail[cross]) * U + via[cross]
            paths[cross, 3] = base_down + (leaf_to[cross] * rails + rail[cross]) * U + via[cross]
        return fair(paths, capacity, cap), dead

    def apply(self, fault, nics, links, flows):  # noqa: PLR0911 - one a kind
        """Plants one fault in the capacities, or says which flows it bounds one by one."""
        src, dst, rail, leaf_from, leaf_to, cross, via = flows
        (tx, rx), (up, down) = nics, links
        match fault.kind:
            case "host" if fault.load_only and ((src == fault.at[0]).sum() < self.shape.rails / 2):
                return None
            case "host":
                return (src == fault.at[0]) | (dst == fault.at[0])
            case "leaf":
                leaf, its = fault.at
                return (rail == its) & ((leaf_from == leaf) | (leaf_to == leaf))
            case "spine" if self.mode == "sprayed":  # a lane among many for everybody
                up[:, :, fault.at[0]] *= fault.rate
            case "spine":
                return cross & (via == fault.at[0])
            case "nic-tx":
                tx[fault.at] *= fault.rate
                return (src == fault.at[0]) & (rail == fault.at[1]) if fault.dead else None
            case "nic-rx":
                rx[fault.at] *= fault.rate
                return (dst == fault.at[0]) & (rail == fault.at[1]) if fault.dead else None
            case "uplink" | "downlink" if self.shape.per_flow:
                leaf, its, spine = fault.at
                end = leaf_from if fault.kind == "uplink" else leaf_to
                return cross & (rail == its) & (end == leaf) & (via == spine)
            case "uplink":
                up[fault.at] *= fault.rate
            case "downlink":
                down[fault.at] *= fault.rate
        return None


def seen_as(fault: Fault, mode: str) -> Fault:
    """Where no path is known, a link can be named by its group only."""
    if mode == "pinned" or fault.kind not in {"uplink", "downlink"}:
        return fault
    return replace(fault, component=f"{fault.kind}s:{fault.at[0]}/{fault.at[1]}")


def fair(paths: NDArray, capacity: NDArray, cap: NDArray) -> NDArray:
    """Max-min fair rates by progressive filling; `paths` holds link numbers, -1 where none."""
    rate = np.minimum(np.ones(len(paths)), cap)
    fixed = np.zeros(len(paths), dtype=bool)
    used = paths >= 0
    room = capacity.astype(float).copy()
    for _ in range(64):
        load = np.zeros(len(capacity))
        np.add.at(load, paths[~fixed][used[~fixed]], 1.0)
        share = np.where(load > 0, room / np.maximum(load, 1), np.inf)
        offer = np.where(used, share[paths], np.inf).min(axis=1)
        offer = np.minimum(offer, cap)
        open_ = np.flatnonzero(~fixed)
        if not len(open_):
            break
        # fix every flow that is at its own bound or whose bottleneck link offers it least
        tight = np.full(len(capacity), np.inf)
        for lane in range(paths.shape[1]):
            rows = open_[used[open_, lane]]
            np.minimum.at(tight, paths[rows, lane], offer[rows])
        level = np.where(used, tight[paths], np.inf).min(axis=1)
        ready = open_[offer[open_] <= level[open_] + 1e-12]
        rate[ready] = offer[ready]
        fixed[ready] = True
        for lane in range(paths.shape[1]):
            rows = ready[used[ready, lane]]
            np.subtract.at(room, paths[rows, lane], rate[rows])
        room = np.maximum(room, 0)
    return rate


def topology(shape: Shape) -> Topology:
    leaf = np.repeat(shape.leaf_of()[:, None], shape.rails, 1)
    names = tuple(f"n{i:04d}" for i in range(len(leaf)))
    return Topology(names, leaf.astype(np.int32), shape.uplinks, "simulated")


def between_groups(shape: Shape, rounds: int, rng: Generator) -> Measured:
    """A round inside the groups of a dragonfly, then rounds over all links between them.

    Who of group x is to meet group y meets one of y who is to meet x.
    """
    groups = [np.flatnonzero(shape.leaf_of() == one) for one in range(len(shape.sizes))]
    rows = []
    for number in range(rounds):
        shuffled = [rng.permutation(group) for group in groups]
        others = len(groups) - 1
        wanted = [
            {(x + 1 + step) % len(groups): nodes[step::others] for step in range(others)}
            for x, nodes in enumerate(shuffled)
        ]
        if number:
            pairs = [
                pair
                for x, meets in enumerate(wanted)
                for y, nodes in meets.items()
                for pair in zip(nodes, wanted[y][x], strict=False)
            ]
        else:
            halves = [(nodes[0::2], nodes[1::2]) for nodes in shuffled]
            pairs = [pair for a, b in halves for pair in zip(a, b, strict=False)]
            pairs += [pair[::-1] for pair in pairs]
        rows += [(number, *pair, rail) for pair in pairs for rail in range(shape.rails)]
    round_, src, dst, rail = np.array(rows, dtype=np.int32).T
    nothing = np.full(len(src), np.nan)
    via = np.full(len(src), UNKNOWN, dtype=np.int32)
    return Measured(round_, src, dst, rail, via, nothing, np.full(len(src), MISSING, dtype=np.int8))


def plant(
    shape: Shape,
    count: int,
    rng: Generator,
    sizes: tuple[float, ...] = SIZES,
    mix: Mapping[str, float] = MIX,
) -> tuple[Fault, ...]:
    """`count` faults on different places, kinds in the stated mix."""
    kinds, weights = list(mix), np.array(list(mix.values()), dtype=float)
    found: dict[str, Fault] = {}
    at_leaf = shape.leaf_of()
    nodes, leaves = len(at_leaf), int(at_leaf.max()) + 1
    if shape.dragonfly:
        weights[[kind in {"downlink", "spine"} for kind in kinds]] = 0
    while len(found) < count:
        kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
        rate = float(rng.choice(sizes))
        node, rail = int(rng.integers(nodes)), int(rng.integers(shape.rails))
        leaf = int(rng.integers(leaves))
        spine = int(rng.integers(int(shape.dragonfly), shape.uplinks))
        at, name = {
            "host": ((node,), f"host:n{node:04d}"),
            "nic-tx": ((node, rail), f"nic-tx:n{node:04d}/{rail}"),
            "nic-rx": ((node, rail), f"nic-rx:n{node:04d}/{rail}"),
            "leaf": ((leaf, rail), f"leaf:{leaf}/{rail}"),
            "uplink": ((leaf, rail, spine), f"uplink:{leaf}/{rail}>{spine}"),
            "downlink": ((leaf, rail, spine), f"downlink:{spine}>{leaf}/{rail}"),
            "spine": ((spine,), f"spine:{spine}"),
        }[kind]
        found.setdefault(name, Fault(name, rate, kind, at))
    return tuple(found.values())
