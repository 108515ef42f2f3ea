"""How the fabric should be cabled: a file that people edit, or what most nodes do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.fabric.tree import Fabric, natural
from clusterctl.inventory.ranges import BadRange, expand
from clusterctl.model import UserError
from clusterctl.peers import majority
from clusterctl.yaml_files import kind, read_mapping, refuse_unknown

KEYS = ("rails", "nodes", "spines", "uplinks")
MOST_RAILS = 64
LEAST_ALIKE = 2  # nodes cabled alike are a pattern; one alone is its own
PEERS = "how most nodes are cabled; no --plan was given"


@dataclass(frozen=True, slots=True)
class Spot:
    """`port` empty: any of that leaf."""

    leaf: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.leaf}/{self.port}" if self.port else self.leaf


@dataclass(frozen=True, slots=True)
class Plan:
    """`rails`: the devices in order; empty: as discovered.  `uplinks`: cables of (leaf, spine).

    `sure`: somebody wrote it down; else it is what most do.
    """

    origin: str
    at: Mapping[tuple[str, int], Spot]
    rails: tuple[str, ...] = ()
    uplinks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sure: bool = True

    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node for node, _ in self.at))


def load(path: Path) -> Plan:
    """Raises UserError: file, key, remedy."""
    return parse(read_mapping(path), str(path))


def parse(given: Mapping[str, Any], origin: str) -> Plan:
    """`nodes: {n[01-08]: {leaf: "leaf-r[0-7]", port: "[1-8]"}}`: leaves go along the rails, ports
    along the nodes.  `spines` and `uplinks`: how many cables every leaf has to every spine.
    """
    refuse_unknown(origin, given, KEYS)
    devices, count = rails_of(given.get("rails"), f"{origin}: rails")
    nodes = given.get("nodes")
    if not isinstance(nodes, dict) or not nodes:
        raise UserError(
            f'{origin}: nodes: expected n[01-08]: {{leaf: "leaf-r[0-7]"}}, found {kind(nodes)}'
        )
    at: dict[tuple[str, int], Spot] = {}
    taken: dict[str, tuple[str, int]] = {}
    for pattern, said in nodes.items():
        where = f"{origin}: nodes: {pattern}"
        for place, spot in spots(str(pattern), said, count, where):
            if place in at:
                raise UserError(f"{where}: {place[0]} stands in another line too; keep one")
            if spot.port and taken.setdefault(str(spot), place) != place:
                other, rail = taken[str(spot)]
                raise UserError(f"{where}: {spot} is taken by {other} rail {rail} already")
            at[place] = spot
    return Plan(origin, at, devices, between(given, at, origin))


def rails_of(given: object, where: str) -> tuple[tuple[str, ...], int]:
    if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
        devices = tuple(given)
    elif isinstance(given, str):
        devices = unfold(given, where)
    elif isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MOST_RAILS:
        return (), given
    else:
        raise UserError(f"{where}: expected their number or devices: mlx5_[0-7]; found {given!r}")
    if len(set(devices)) != len(devices):
        raise UserError(f"{where}: a device stands twice")
    return devices, len(devices)


def spots(
    pattern: str, said: object, rails: int, where: str
) -> Iterator[tuple[tuple[str, int], Spot]]:
    if not isinstance(said, dict):
        raise UserError(f"{where}: expected {{leaf: …}}, found {kind(said)}")
    refuse_unknown(where, said, ("leaf", "port"))
    names = unfold(pattern, where)
    leaves = along(said.get("leaf"), rails, f"{where}: leaf", "rails")
    ports = along(said["port"], len(names), f"{where}: port", "nodes") if "port" in said else ()
    for index, name in enumerate(names):
        for rail, leaf in enumerate(leaves):
            yield (name, rail), Spot(leaf, ports[index] if ports else "")


def along(given: object, count: int, where: str, what: str) -> tuple[str, ...]:
    """One for all, or a list or range of as many."""
    if isinstance(given, list):
        found = tuple(str(one) for one in given)
    elif isinstance(given, (str, int)) and not isinstance(given, bool) and str(given).strip():
        found = unfold(str(given), where)
    else:
        raise UserError(f"{where}: expected a name or a range, found {kind(given)}")
    if len(found) == 1:
        return found * count
    if len(found) != count:
        raise UserError(f"{where}: {len(found)} for {count} {what}; make them as many")
    return found


def unfold(text: str, where: str) -> tuple[str, ...]:
    try:
        return expand(text)
    except BadRange as error:
        raise UserError(f"{where}: {error}") from None


def between(
    given: Mapping[str, Any], at: Mapping[tuple[str, int], Spot], origin: str
) -> dict[tuple[str, str], int]:
    uplinks = given.get("uplinks", 1)
    if isinstance(uplinks, bool) or not isinstance(uplinks, int) or uplinks < 1:
        raise UserError(f"{origin}: uplinks: expected a whole number above 0, found {uplinks!r}")
    if "spines" not in given:
        if "uplinks" in given:
            raise UserError(f"{origin}: uplinks: to which switches? add spines: spine-[1-4]")
        return {}
    spines = given["spines"]
    listed = spines if isinstance(spines, list) else [spines]
    names = [name for one in listed for name in unfold(str(one), f"{origin}: spines")]
    leaves = dict.fromkeys(spot.leaf for spot in at.values())
    return {(leaf, spine): uplinks for leaf in leaves for spine in names}


# --------------------------------------------------------------------------- what most do


def infer(fabric: Fabric) -> Plan:
    """Who is cabled unlike the others; of a node that is like none, nothing is expected."""
    rails = range(len(fabric.rails))
    cabled = {node: tuple(fabric.leaf(node, rail) for rail in rails) for node in fabric.nodes}
    patterns: list[tuple[str, ...]] = []
    counts = Counter(cabled.values())
    for vector, count in counts.most_common():
        usual = like(vector, patterns)
        if count >= LEAST_ALIKE and any(vector) and (not usual or 2 * count > counts[usual]):
            patterns.append(vector)
    at = {
        (node, rail): Spot(leaf)
        for node, vector in cabled.items()
        for rail, leaf in enumerate(like(vector, patterns))
        if leaf
    }
    return Plan(PEERS, at, uplinks=usual_uplinks(fabric), sure=False)


def like(vector: tuple[str, ...], patterns: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The pattern that has more than half of these leaves, on whatever rails; empty: none."""

    def agree(pattern: tuple[str, ...]) -> tuple[int, int]:
        there = sum(leaf in pattern for leaf in vector if leaf)
        return there, sum(a == b for a, b in zip(vector, pattern, strict=True))

    best = max(patterns, key=agree, default=())
    return best if best and 2 * agree(best)[0] > len(vector) else ()


def usual_uplinks(fabric: Fabric) -> dict[tuple[str, str], int]:
    """Within each set of switches that hang together, the number that most pairs have."""
    counts = Counter((cable.near.box, cable.far.box) for cable in fabric.between())
    expected: dict[tuple[str, str], int] = {}
    for island in islands(counts):
        ordered = sorted(island, key=natural)
        leaves = [box for box in ordered if fabric.levels.get(box) == 1]
        spines = [box for box in ordered if fabric.levels.get(box) == 2]
        pairs = [(leaf, spine) for leaf in leaves for spine in spines]
        usual = majority(counts[pair] for pair in pairs)
        if usual:
            expected |= dict.fromkeys(pairs, usual)
    return expected


def islands(pairs: Mapping[tuple[str, str], int]) -> list[set[str]]:
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        beside[one].add(other)
        beside[other].add(one)
    found: list[set[str]] = []
    left = dict.fromkeys(beside)
    while left:
        edge = {next(iter(left))}
        island = set(edge)
        while edge:
            edge = {other for box in edge for other in beside[box]} - island
            island |= edge
        left = {box: None for box in left if box not in island}
        found.append(island)
    return found
