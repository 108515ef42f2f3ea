"""A fabric that never was: rates of planned tests under planted faults.  Not the inference's model.

Components spread, flows that share an uplink halve each other, uplinks are congested for a round,
and single tests are held up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology

LINE_GBIT_S = 400.0


@dataclass(frozen=True)
class Weather:
    sigma: float = 0.01
    spread: float = 0.007
    hold_ups: float = 0.01
    congested: float = 0.005  # share of uplinks, a round
    missing: float = 0.0
    failed: float = 0.0
    freedom: float = 0.0  # of Student's t; 0: Gaussian
    shared: bool = True
    cross_rate: float = 1.0
    rail_rates: tuple[float, ...] = ()
    round_sag: float = 0.0  # largest slow-down of a whole round
    hidden: str = ""  # "", "hashed", "sprayed"
    step_gbit_s: float = 0.0
    uplink_capacity: float = 1.0


HARSH = Weather()
EASY = Weather(spread=0.0, congested=0.0, hold_ups=0.0, shared=False)


@dataclass
class Fabric:
    topology: Topology
    faults: dict[str, float] = field(default_factory=dict)
    weather: Weather = HARSH
    seed: int = 1

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        nodes, rails = self.topology.leaf.shape
        self.leaves = int(self.topology.leaf.max()) + 1
        u = max(self.topology.uplinks, 1)
        shapes = {
            "host": (nodes,),
            "nic-tx": (nodes, rails),
            "nic-rx": (nodes, rails),
            "leaf": (max(self.leaves, 1), rails),
            "uplink": (max(self.leaves, 1), rails, u),
            "downlink": (max(self.leaves, 1), rails, u),
            "spine": (u,),
        }
        self.speed = {
            kind: np.exp(self.rng.normal(0, self.weather.spread, shape))
            for kind, shape in shapes.items()
        }
        for name, rate in self.faults.items():
            kind, where = spot(name, self.topology)
            self.speed[kind][where] *= rate
        self.hash_salt = self.seed * 7919

    def measure(self, plan: Measured) -> Measured:
        w, t, rng = self.weather, self.topology, self.rng
        leaf_src, leaf_dst = t.leaf[plan.src, plan.rail], t.leaf[plan.dst, plan.rail]
        cross = (leaf_src != leaf_dst) & (leaf_src >= 0)
        rate = np.minimum(self.speed["host"][plan.src], self.speed["host"][plan.dst])
        for kind, at in (("nic-tx", plan.src), ("nic-rx", plan.dst)):
            rate = np.minimum(rate, self.speed[kind][at, plan.rail])
        for at in (leaf_src, leaf_dst):
            if self.leaves:
                rate = np.minimum(rate, self.speed["leaf"][at, plan.rail])
        u = max(t.uplinks, 1)
        via = plan.via.copy()
        if w.hidden == "hashed":
            mixed = (
                plan.src.astype(np.int64) * 1000003
                + plan.dst * 7919
                + plan.rail * 104729
                + plan.round * 15485863
                + self.hash_salt
            )
            via = ((mixed * 2654435761 % 2**32) >> 7) % u
        via = np.where(cross & (via < 0), rng.integers(0, u, len(via)), via)
        if cross.any() and w.hidden != "sprayed":
            rate = np.where(
                cross, np.minimum(rate, self.links(plan, leaf_src, leaf_dst, via, cross)), rate
            )
        elif cross.any():
            up = self.speed["uplink"].mean(axis=2)[leaf_src, plan.rail]
            down = self.speed["downlink"].mean(axis=2)[leaf_dst, plan.rail]
            rate = np.where(cross, np.minimum(rate, np.minimum(up, down)), rate)
        if w.rail_rates:
            rate = rate * np.array(w.rail_rates)[plan.rail]
        rate = np.where(cross, rate * w.cross_rate, rate)
        if w.round_sag:
            sag = rng.uniform(0, w.round_sag, int(plan.round.max()) + 1)
            rate = rate * (1 - sag[plan.round])
        noise = rng.standard_t(w.freedom, len(rate)) if w.freedom else rng.normal(size=len(rate))
        rate = rate * np.exp(np.clip(noise * w.sigma, -1, 0.2))
        held = rng.random(len(rate)) < w.hold_ups
        rate = np.where(held, rate * rng.uniform(0.6, 0.97, len(rate)), rate)
        gbit_s = rate * LINE_GBIT_S
        if w.step_gbit_s:
            gbit_s = np.round(gbit_s / w.step_gbit_s) * w.step_gbit_s
        status = np.full(len(rate), OK, dtype=np.int8)
        status[rng.random(len(rate)) < w.missing] = MISSING
        status[rng.random(len(rate)) < w.failed] = FAILED
        shown = np.full(len(rate), UNKNOWN) if w.hidden else np.where(cross, via, plan.via)
        return replace(
            plan,
            via=shown.astype(np.int32),
            gbit_s=np.where(status == OK, gbit_s, np.nan),
            status=status,
        )

    def links(self, plan, leaf_src, leaf_dst, via, cross):
        w, rails = self.weather, self.topology.leaf.shape[1]
        u = max(self.topology.uplinks, 1)
        found = self.speed["spine"][via]
        for kind, leaf in (("uplink", leaf_src), ("downlink", leaf_dst)):
            key = ((plan.round.astype(np.int64) * self.leaves + leaf) * rails + plan.rail) * u + via
            key = np.where(cross, key, -1)
            _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
            load = count[inverse]
            hurt = self.rng.random(len(count)) < w.congested
            slow = np.where(hurt, self.rng.uniform(0.5, 0.95, len(count)), 1.0)[inverse]
            share = np.maximum(load / w.uplink_capacity, 1.0) if w.shared else 1.0
            found = np.minimum(found, self.speed[kind][leaf, plan.rail, via] * slow / share)
        return found


def spot(name, topology):
    """Where a component's speed is kept."""
    kind, _, rest = name.partition(":")
    if kind == "host":
        return kind, (topology.nodes.index(rest),)
    if kind in {"nic-tx", "nic-rx"}:
        node, rail = rest.split("/")
        return kind, (topology.nodes.index(node), int(rail))
    if kind == "spine":
        return kind, (int(rest),)
    if kind == "uplink":
        where, u = rest.split(">")
        return kind, (*map(int, where.split("/")), int(u))
    if kind == "downlink":
        u, where = rest.split(">")
        return kind, (*map(int, where.split("/")), int(u))
    return kind, tuple(map(int, rest.split("/")))


MIX = {"nic-tx": 30, "nic-rx": 25, "uplink": 15, "downlink": 14, "host": 10, "leaf": 4, "spine": 2}
MAGNITUDES = (0.25, 0.5, 0.5, 0.7, 0.8, 0.9, 0.93)


def draw_faults(topology, count, rng, *, magnitudes=MAGNITUDES, mix=MIX):
    """Distinct components, none of them within another's shadow of the same node or leaf."""
    kinds, weights = list(mix), np.array(list(mix.values()), float)
    nodes, rails = topology.leaf.shape
    leaves, u = int(topology.leaf.max()) + 1, max(topology.uplinks, 1)
    if leaves < 2:
        weights[[kinds.index(k) for k in kinds if k in {"uplink", "downlink", "spine", "leaf"}]] = 0
    found: dict[str, float] = {}
    while len(found) < count:
        kind = rng.choice(kinds, p=weights / weights.sum())
        node, rail = topology.nodes[rng.integers(nodes)], int(rng.integers(rails))
        leaf, spine = int(rng.integers(max(leaves, 1))), int(rng.integers(u))
        name = {
            "host": f"host:{node}",
            "nic-tx": f"nic-tx:{node}/{rail}",
            "nic-rx": f"nic-rx:{node}/{rail}",
            "leaf": f"leaf:{leaf}/{rail}",
            "uplink": f"uplink:{leaf}/{rail}>{spine}",
            "downlink": f"downlink:{spine}>{leaf}/{rail}",
            "spine": f"spine:{spine}",
        }[kind]
        found[name] = float(rng.choice(magnitudes))
    return found
