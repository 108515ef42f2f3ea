"""What hangs where: facts of switches and cables -> rails, leaves, spines, and their cables."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

BY_TOOL, BY_LLDP, BY_LABELS, BY_INDEX = "ibnetdiscover", "lldp", "labels", "index"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable.  `box`: the node of the inventory, or what the box calls itself.

    `device`: of a node, mlx5_3.  `port`: as its own side numbers it; of LLDP, a name.
    """

    box: str
    port: str
    kind: str  # node, host (not of the inventory), switch
    device: str = ""
    guid: str = ""
    counters: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        box = f"{self.box} {self.device}" if self.device else self.box
        return f"{box}/{self.port}" if self.port else box


@dataclass(frozen=True, slots=True)
class Cable:
    """`near` is the host's or the lower switch's end.  Speeds are of one lane, in Gbit/s."""

    near: End
    far: End
    width: int | None = None
    speed_gbit_s: float | None = None
    width_could: int | None = None
    speed_could_gbit_s: float | None = None
    state: str = ""  # the worse of both ends'

    @property
    def part(self) -> str:
        return f"{self.near} > {self.far}"


@dataclass(frozen=True, slots=True)
class Fabric:
    """`at[node, rail]` is the cable that leaves the node there.  `levels`: 1 leaf, 2 spine, 3 core.

    `rails`: the device of each; several joined by "|" where makes of nodes differ.
    """

    source: str
    origin: str
    nodes: tuple[str, ...]
    rails: tuple[str, ...]
    at: Mapping[tuple[str, int], Cable]
    cables: tuple[Cable, ...]
    levels: Mapping[str, int] = field(default_factory=dict)

    def leaf(self, node: str, rail: int) -> str:
        """Empty where no cable was seen or nobody says where it ends."""
        cable = self.at.get((node, rail))
        return cable.far.box if cable else ""

    def switches(self, level: int) -> list[str]:
        return sorted((box for box, one in self.levels.items() if one == level), key=natural)

    def leaves(self, rail: int) -> list[str]:
        """Where a rail's cables end, in the order in which leaves are numbered."""
        found = {self.leaf(node, rail) for node in self.nodes} - {""}
        return sorted(found, key=natural)

    def between(self) -> list[Cable]:
        """From switch to switch."""
        return [cable for cable in self.cables if cable.near.kind == "switch"]


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts leaf-2 before leaf-10."""
    pieces = re.split(r"([0-9]{1,18})", text)
    return [(1, int(one), "") if one.isascii() and one.isdigit() else (0, 0, one) for one in pieces]


def built(
    source: str,
    origin: str,
    nodes: Sequence[str],
    cables: Iterable[Cable],
    rails: tuple[str, ...] = (),
) -> Fabric:
    """Turns every cable the right way up, and numbers the rails.

    `rails`: the devices in the order of the plan; empty: in their natural order.
    """
    given = tuple(cables)
    levels = levels_of(given)
    turned = tuple(upright(cable, levels) for cable in given)
    own = [cable for cable in turned if cable.near.kind == "node" and cable.far.kind == "switch"]
    number, names = numbered(own, rails)
    at = {(one.near.box, number[key(one.near)]): one for one in own if key(one.near) in number}
    return Fabric(source, origin, tuple(nodes), names, at, turned, levels)


def levels_of(cables: Iterable[Cable]) -> dict[str, int]:
    """1 for leaves, 2 for what only leaves hang on, and so on; a switch by itself is none.

    A switch with a quarter of the usual leaf's hosts, or fewer, and more cables to such leaves than
    to hosts is no leaf: somebody's host is plugged into a spine.
    """
    hosts: Counter[str] = Counter()
    beside: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for cable in cables:
        ends = (cable.near, cable.far)
        for end, other in (ends, ends[::-1]):
            if end.kind == "switch" and end.box:
                beside[end.box][other.box if other.kind == "switch" else ""] += 1
                hosts[end.box] += other.kind != "switch"
    usual = median([count for count in hosts.values() if count] or [0])
    sure = {box for box, count in hosts.items() if count and 4 * count > usual}
    level = {
        box: 1
        for box, count in hosts.items()
        if count and (box in sure or sum(beside[box][leaf] for leaf in sure) <= count)
    }
    edge, depth = set(level), 1
    while edge:
        depth += 1
        edge = {other for box in edge for other in beside[box] if other} - set(level)
        level |= dict.fromkeys(edge, depth)
    return level


def upright(cable: Cable, levels: Mapping[str, int]) -> Cable:
    def height(end: End) -> tuple[int, list[tuple[int, int, str]]]:
        rank = levels.get(end.box, 99) if end.kind == "switch" else 0 if end.kind == "node" else -1
        return rank, natural(end.box)

    if height(cable.far) < height(cable.near):
        return replace(cable, near=cable.far, far=cable.near)
    return cable


def key(end: End) -> tuple[str, str]:
    """(node, what of it is a rail): a second port of one device is a rail of its own."""
    return end.box, end.device if end.port in ("", "1") else f"{end.device}/{end.port}"


def numbered(
    cables: Sequence[Cable], devices: Sequence[str]
) -> tuple[dict[tuple[str, str], int], tuple[str, ...]]:
    """The rail of each (node, device), and the devices of each rail.

    One numbering for all nodes that share a device's name, so that a node which lacks one keeps the
    others' numbers.
    """
    if devices:
        order = {name: index for index, name in enumerate(devices)}
        known = [key(cable.near) for cable in cables]
        return {one: order[one[1]] for one in known if one[1] in order}, tuple(devices)
    makes: list[set[str]] = []
    of_node: defaultdict[str, set[str]] = defaultdict(set)
    for cable in cables:
        node, device = key(cable.near)
        of_node[node].add(device)
    for mine in dict.fromkeys(frozenset(mine) for mine in of_node.values()):
        alike = [make for make in makes if make & mine]
        makes = [make for make in makes if not make & mine] + [set(mine).union(*alike)]
    ordered = sorted((sorted(make, key=natural) for make in makes), key=len, reverse=True)
    order = {device: index for make in ordered for index, device in enumerate(make)}
    width = max(map(len, ordered), default=0)
    names = tuple(
        "|".join(dict.fromkeys(make[index] for make in ordered if index < len(make)))
        for index in range(width)
    )
    return {(node, one): order[one] for node, mine in of_node.items() for one in mine}, names
