"""Slow tests that no suspect explains: where they are many, nobody is cleared by the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology
from clusterctl.localise.located import Inconclusive, Located, Suspect

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WELL_BELOW = 0.10  # of the rate of its like, as the check of pairs has it: gpu-fryer
PASSING = 0.10  # of tests: the most that passing trouble holds up where links are healthy
WHY = "no part explains them: congestion, noise, or more than one stream on a link"
HIDDEN = ", which is likely where the fabric chooses the spine (ECMP)"
ALL = "*"  # the component of a doubt about no single part


@dataclass(frozen=True, slots=True)
class Muddle:
    """Of so many tests tried, those well below their like that cross no suspect."""

    slow: int
    tried: int
    why: str


def muddle(suspects: Sequence[Suspect], topology: Topology, rows: Measured) -> Muddle | None:
    """None where they are no more than passing trouble holds up."""
    slow = int(unexplained(suspects, topology, rows).sum())
    tried = int((rows.status != MISSING).sum())
    if slow <= PASSING * tried:
        return None
    here, there = ends(topology, rows)
    near = (here == there) & (here != UNKNOWN)
    hidden = topology.uplinks != 1 and bool(((rows.via == UNKNOWN) & ~near).any())
    return Muddle(slow, tried, WHY + HIDDEN if hidden else WHY)


def with_muddle(located: Located, topology: Topology, rows: Measured) -> Located:
    """The same with a doubt about all parts, where so many tests are slow for no reason."""
    found = muddle(located.suspects, topology, rows)
    if found is None or any(one.component == ALL for one in located.inconclusive):
        return located
    why = f"{found.slow} of {found.tried} tests lie well below their like: {found.why}"
    return replace(located, inconclusive=(*located.inconclusive, Inconclusive(ALL, why)))


def unexplained(suspects: Sequence[Suspect], topology: Topology, rows: Measured) -> Bools:
    slow: Bools = shares(topology, rows) < 1 - WELL_BELOW
    for one in suspects:
        slow &= ~crosses(one.component, topology, rows)
    return slow


def shares(topology: Topology, rows: Measured) -> Floats:
    """Of each test, by the median of its rail and of those within or between leaves; failed: -1."""
    rate = np.where(rows.status == OK, rows.gbit_s, np.nan)
    here, there = ends(topology, rows)
    like = 2 * rows.rail + (here == there)
    made = np.full(len(rate), np.nan)
    for one in np.unique(like):
        mine = (like == one) & np.isfinite(rate)
        if mine.any():
            made[mine] = rate[mine] / max(float(np.median(rate[mine])), 1e-12)
    made[rows.status == FAILED] = -1.0
    return made


def ends(topology: Topology, rows: Measured) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The leaves that a test goes out by and comes in by."""
    return topology.leaf[rows.src, rows.rail], topology.leaf[rows.dst, rows.rail]


def crosses(component: str, topology: Topology, rows: Measured) -> Bools:
    """Tests that may have crossed it: one whose spine is not known may have crossed any."""
    kind, _, rest = component.partition(":")
    if kind == "host":
        at = place(rest, topology)
        return np.asarray((rows.src == at) | (rows.dst == at))
    if kind in {"nic-tx", "nic-rx"}:
        name, _, number = rest.rpartition("/")
        end = rows.src if kind == "nic-tx" else rows.dst
        return np.asarray((end == place(name, topology)) & (rows.rail == int(number)))
    numbers = [int(word) for word in re.findall(r"\d+", rest)]
    here, there = ends(topology, rows)
    match kind, numbers:
        case "leaf", [leaf, rail]:
            return np.asarray(((here == leaf) | (there == leaf)) & (rows.rail == rail))
        case "uplink", [leaf, rail, spine]:
            mine = (here == leaf) & (rows.rail == rail)
        case "downlink", [spine, leaf, rail]:
            mine = (there == leaf) & (rows.rail == rail)
        case "uplinks", [leaf, rail]:
            mine, spine = (here == leaf) & (rows.rail == rail), UNKNOWN
        case "downlinks", [leaf, rail]:
            mine, spine = (there == leaf) & (rows.rail == rail), UNKNOWN
        case "spine", [spine]:
            mine = np.ones(len(here), dtype=bool)
        case _:
            return np.zeros(len(here), dtype=bool)
    taken = (rows.via == spine) | (rows.via == UNKNOWN) | (spine == UNKNOWN)
    return np.asarray(mine & (here != there) & taken)


def place(name: str, topology: Topology) -> int:
    return topology.nodes.index(name) if name in topology.nodes else UNKNOWN
