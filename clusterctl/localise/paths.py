"""Which components each measured path crosses, by number, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import UNKNOWN, Measured, Topology

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

KINDS = (
    "host",
    "nic-tx",
    "nic-rx",
    "leaf",
    "uplink",
    "downlink",
    "spine",
    "uplinks",
    "downlinks",
)
HOST, TX, RX, LEAF, UP, DOWN, SPINE, UPS, DOWNS = range(9)
HIDDEN_SHARE = 1 / 16  # of a leaf's flows on one uplink, where the file does not say how many


@dataclass(frozen=True, slots=True)
class Paths:
    """`crossed[slot, path]` is the number of a component, UNKNOWN where the slot is empty."""

    topology: Topology
    crossed: Ints  # (10, paths)
    kind: NDArray[np.int8]  # of each component
    share: Floats  # of a group's flows that one of its links carries, by path; 1 where via is said
    cross: NDArray[np.bool_]  # leaves its leaf
    alone: NDArray[np.bool_]  # no other rail of either host ran in this round
    leaf_ids: Ints  # (nodes, rails) -> dense number of (leaf, rail), UNKNOWN
    leaf_of_id: Ints  # (leaves, 2): leaf and rail
    starts: tuple[int, ...]  # number of the first component of each kind, and of all
    spines: int

    @property
    def count(self) -> int:
        return self.starts[-1]

    def name(self, component: int) -> str:
        kind = int(self.kind[component])
        at = component - self.starts[kind]
        rails = self.topology.leaf.shape[1]
        if kind == HOST:
            return f"host:{self.topology.nodes[at]}"
        if kind in {TX, RX}:
            return f"{KINDS[kind]}:{self.topology.nodes[at // rails]}/{at % rails}"
        if kind == SPINE:
            return f"spine:{at}"
        leaf, rail = self.leaf_of_id[at // self.spines if kind in {UP, DOWN} else at].tolist()
        if kind == UP:
            return f"uplink:{leaf}/{rail}>{at % self.spines}"
        if kind == DOWN:
            return f"downlink:{at % self.spines}>{leaf}/{rail}"
        return f"{KINDS[kind]}:{leaf}/{rail}"


def paths_of(topology: Topology, rows: Measured) -> Paths:
    """Numbers every component of the fabric; `rows` may be of any order and number."""
    nodes, rails = topology.leaf.shape
    ids, of_id = leaf_numbers(topology)
    leaves = len(of_id)
    via_said = rows.via.max(initial=UNKNOWN) + 1
    spines = max(topology.uplinks, int(via_said), 1)
    sizes = (
        nodes,
        nodes * rails,
        nodes * rails,
        leaves,
        leaves * spines,
        leaves * spines,
        spines,
        leaves,
        leaves,
    )
    starts = tuple(np.concatenate([[0], np.cumsum(sizes)]).tolist())
    from_leaf, to_leaf = ids[rows.src, rows.rail], ids[rows.dst, rows.rail]
    cross = (from_leaf != to_leaf) & (from_leaf >= 0) & (to_leaf >= 0)
    far = cross | (rows.via >= 0)
    pinned = far & (rows.via >= 0)
    src_nic, dst_nic = rows.src * rails + rows.rail, rows.dst * rails + rows.rail
    always = np.ones(len(rows.src), dtype=bool)
    slots = (
        (HOST, rows.src, always),
        (HOST, rows.dst, rows.dst != rows.src),
        (TX, src_nic, always),
        (RX, dst_nic, always),
        (LEAF, from_leaf, from_leaf >= 0),
        (LEAF, to_leaf, (to_leaf >= 0) & (to_leaf != from_leaf)),
        (UP, from_leaf * spines + rows.via, pinned & (from_leaf >= 0)),
        (DOWN, to_leaf * spines + rows.via, pinned & (to_leaf >= 0)),
        (SPINE, rows.via, pinned),
        (UPS, from_leaf, far & (from_leaf >= 0)),
        (DOWNS, to_leaf, far & (to_leaf >= 0)),
    )
    crossed = np.stack(
        [np.where(there, starts[kind] + at, UNKNOWN) for kind, at, there in slots]
    ).astype(np.int32)
    kind = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)
    part = 1 / topology.uplinks if topology.uplinks else HIDDEN_SHARE
    share = np.where(rows.via >= 0, 1.0, part)
    alone = one_rail(rows, nodes, rails)
    return Paths(topology, crossed, kind, share, far, alone, ids, of_id, starts, spines)


def leaf_numbers(topology: Topology) -> tuple[Ints, Ints]:
    nodes, rails = topology.leaf.shape
    pairs = np.stack(
        [topology.leaf.ravel(), np.tile(np.arange(rails, dtype=np.int32), nodes)], axis=1
    )
    known = pairs[:, 0] >= 0
    of_id, inverse = np.unique(pairs[known], axis=0, return_inverse=True)
    ids = np.full(len(pairs), UNKNOWN, dtype=np.int32)
    ids[known] = inverse.ravel()
    return ids.reshape(nodes, rails), of_id.astype(np.int32).reshape(-1, 2)


def one_rail(rows: Measured, nodes: int, rails: int) -> NDArray[np.bool_]:
    """Rows of rounds in which each end used this one rail only, though it has more."""
    if rails == 1 or not len(rows.src):
        return np.zeros(len(rows.src), dtype=bool)
    ends = rows.round.astype(np.int64) * nodes + np.stack([rows.src, rows.dst])
    used, which = np.unique(np.unique(ends * rails + rows.rail) // rails, return_counts=True)
    found: NDArray[np.bool_] = np.all(which[np.searchsorted(used, ends)] == 1, axis=0)
    return found
