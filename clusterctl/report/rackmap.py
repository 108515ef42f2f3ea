"""Where the nodes stand: racks, and the verdict at each place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clusterctl.model import Node
from clusterctl.report.standings import Standing

NO_RACK = "no rack given"
TALLEST = 52  # nodes in a rack of 52 units
LEGIBLE = 9  # characters of a name that fit in a cell


@dataclass(frozen=True, slots=True)
class Rack:
    """`cells`: (what the cell shows, standing), as they stand or by name.

    `common`: the beginning that the shown names leave out.
    """

    name: str
    common: str
    cells: tuple[tuple[str, Standing], ...]

    @property
    def wide(self) -> bool:
        """Too many to stand above one another."""
        return self.name == NO_RACK or len(self.cells) > TALLEST

    @property
    def bad(self) -> int:
        return sum(not one.good for _, one in self.cells)


def racks(nodes: Sequence[Node], standings: Mapping[str, Standing]) -> list[Rack]:
    """Every node once.  Without a `rack` label they stand together."""
    places: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        places[node.labels.get("rack") or NO_RACK].append(node)
    found = []
    for name in sorted(places, key=lambda name: (name == NO_RACK, natural(name))):
        by_unit = name != NO_RACK
        members = sorted(places[name], key=place if by_unit else lambda node: natural(node.name))
        common = shared_start([node.name for node in members])
        cells = tuple((node.name[len(common) :], standings[node.name]) for node in members)
        found.append(Rack(name, common, cells))
    return found


def place(node: Node) -> tuple[bool, list[tuple[int, str]], list[tuple[int, str]]]:
    """By rack unit, the highest first as one stands before it; those without a unit by name."""
    unit = node.labels.get("unit", "")
    down = [(-number, text) for number, text in natural(unit)]
    return (not unit, down, natural(node.name))


def natural(text: str) -> list[tuple[int, str]]:
    """r2 before r10."""
    pieces = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", text)
    return [(int(p), "") if re.fullmatch(r"[0-9]{1,18}", p) else (-1, p) for p in pieces]


def shared_start(names: Sequence[str]) -> str:
    """What may be left out where names are too long for a cell; numbers stay whole."""
    if max(map(len, names)) <= LEGIBLE or len(names) == 1:
        return ""
    first, last = min(names), max(names)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return first[:length].rstrip("0123456789")
