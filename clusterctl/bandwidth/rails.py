"""Which leaf each node hangs on, rail by rail, and by which addresses its ports are reached.

Labels of the inventory say it:

    rail_addresses: "10.1.0.17 10.2.0.17"     one a rail; without it, one rail at data_address
    leaf: 3                                   on every rail; or leaves: "3 11", one a rail
    via0_addresses: "10.1.64.17 10.2.64.17"   by which spine 0 is taken, and so on from 0

The last are what a fabric routes by destination: the LIDs of a port with LMC above 0, or addresses
that leaves route apart.  Where there are none the fabric chooses (ECMP, adaptive routing), and a
measurement does not know its spine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile

import numpy as np

from clusterctl.localise.columns import UNKNOWN, Topology
from clusterctl.localise.topology import unknown
from clusterctl.model import Node, UserError
from clusterctl.trials.flows import rail_addresses


@dataclass(frozen=True, slots=True)
class Rails:
    """`nodes` are those of the topology, in its order.  `pinned`: they have addresses by spine."""

    topology: Topology
    nodes: tuple[Node, ...]
    pinned: bool

    @property
    def spines(self) -> int:
        """How many a test may name as its own; 0: the fabric chooses, and `via` is not known."""
        return self.topology.uplinks if self.pinned or self.topology.uplinks == 1 else 0

    def address(self, node: int, rail: int, via: int) -> str:
        """The node's address on a rail, by that spine where it can be chosen."""
        if via != UNKNOWN and self.pinned:
            return self.nodes[node].labels[f"via{via}_addresses"].replace(",", " ").split()[rail]
        return rail_addresses(self.nodes[node])[rail]


def rails_of(nodes: Sequence[Node], described: Topology | None = None) -> Rails:
    """From the labels; `described`, of a file, says who hangs where instead.  Raises UserError."""
    wide = {len(rail_addresses(node)) for node in nodes}
    if len(wide) > 1:
        few = min(nodes, key=lambda node: len(rail_addresses(node)))
        raise UserError(
            f"{few.origin or few.name}: {few.name}: rail_addresses: names {min(wide)} rails where "
            f"others name {max(wide)}; give every node one address a rail"
        )
    spines = pinned_spines(nodes, max(wide))
    if described is None:
        found = labelled(nodes, max(wide))
    else:
        found = narrowed(described, nodes, max(wide))
    uplinks = spines or found.uplinks
    return Rails(replace(found, uplinks=uplinks), tuple(nodes), pinned=bool(spines))


def pinned_spines(nodes: Sequence[Node], rails: int) -> int:
    """How many spines every node has an address by, on every rail.  Raises UserError."""

    def everywhere(spine: int) -> bool:
        key = f"via{spine}_addresses"
        have = [node.labels.get(key, "").replace(",", " ").split() for node in nodes]
        if any(have) and not all(len(one) == rails for one in have):
            node = next(n for n, one in zip(nodes, have, strict=True) if len(one) != rails)
            raise UserError(
                f"{node.origin or node.name}: {node.name}: {key}: expected {rails} addresses, one "
                "a rail, as on other nodes"
            )
        return all(have)

    return len(list(takewhile(everywhere, count())))


def labelled(nodes: Sequence[Node], rails: int) -> Topology:
    """Leaves as the labels name them: whole numbers as they are, other names counted in order."""
    names = [leaves(node, rails) for node in nodes]
    if not all(names):
        found = unknown([node.name for node in nodes], rails)
        lacking = next(node.name for node, have in zip(nodes, names, strict=True) if not have)
        return replace(found, origin=f"no label leaf on {lacking}: leaves are not known")
    known = sorted({name for row in names for name in row})
    numbers = {name: at for at, name in enumerate(known)}
    origin = "labels leaf of the inventory"
    if all(name.isdecimal() for name in known):
        numbers = {name: int(name) for name in known}
    else:
        origin += ": " + ", ".join(f"{at} is {name}" for name, at in list(numbers.items())[:64])
    where = np.array([[numbers[name] for name in row] for row in names], dtype=np.int32)
    return Topology(tuple(node.name for node in nodes), where, 0, origin)


def leaves(node: Node, rails: int) -> list[str]:
    """One a rail; empty: nobody said.  Raises UserError."""
    words = node.labels.get("leaves", "").replace(",", " ").split()
    if words and len(words) != rails:
        raise UserError(
            f"{node.origin or node.name}: {node.name}: leaves: expected {rails}, one a rail, "
            f"found {len(words)}"
        )
    one = node.labels.get("leaf", "")
    return words or [one] * rails if one or words else []


def narrowed(described: Topology, nodes: Sequence[Node], rails: int) -> Topology:
    """Only the nodes selected, in their order.  Raises UserError where the file lacks one."""
    place = {name: at for at, name in enumerate(described.nodes)}
    lacking = [node.name for node in nodes if node.name not in place]
    if lacking:
        raise UserError(f"{described.origin}: nodes: {lacking[0]} is selected and not among them")
    if described.leaf.shape[1] != rails:
        raise UserError(
            f"{described.origin}: rails: {described.leaf.shape[1]}, and the inventory's label "
            f"rail_addresses names {rails}; both must agree"
        )
    rows = [place[node.name] for node in nodes]
    return replace(described, nodes=tuple(node.name for node in nodes), leaf=described.leaf[rows])
