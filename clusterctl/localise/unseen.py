"""What no test reached: neither slow nor fine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise.columns import Measured, Topology
from clusterctl.localise.located import Inconclusive
from clusterctl.localise.paths import KINDS, RX, TX

Bools = NDArray[np.bool_]


def unseen(topology: Topology, rows: Measured, sought: Measured | None) -> Iterator[Inconclusive]:
    """Nodes, rails and directions of ports; `rows` are those that ran.

    `sought` None: every port was to be tested both ways.
    """
    ran = ports(topology, rows)
    wanted = np.ones_like(ran) if sought is None else ports(topology, sought)
    seen: Bools = np.any(ran, axis=(0, 2))
    lost: Bools = np.any(wanted, axis=(0, 1)) & ~np.any(ran, axis=(0, 1))
    names = [f"host:{topology.nodes[at]}" for at in np.flatnonzero(~seen)]
    names += [f"rail {rail}" for rail in np.flatnonzero(lost)]
    lacking = wanted & ~ran & seen[None, :, None] & ~lost
    for at, rail, way in np.argwhere(lacking.transpose(1, 2, 0)).tolist():
        names.append(f"{KINDS[(TX, RX)[way]]}:{topology.nodes[at]}/{rail}")
    for name in names:
        yield Inconclusive(name, "no test across it gave an answer")


def ports(topology: Topology, rows: Measured) -> Bools:
    """(sends or receives, nodes, rails): whether a test went that way."""
    used = np.zeros((2, *topology.leaf.shape), dtype=bool)
    used[0, rows.src, rows.rail] = used[1, rows.dst, rows.rail] = True
    return used
