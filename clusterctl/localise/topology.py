"""A fabric from what people write: leaf_size, uplinks, rails, nodes; or each node's leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clusterctl.inventory.ranges import BadRange, expand
from clusterctl.localise.columns import UNKNOWN, Topology
from clusterctl.model import UserError
from clusterctl.yaml_files import kind, refuse_unknown

KEYS = ("nodes", "rails", "leaf_size", "uplinks", "leaf", "schema")
MOST_RAILS, MOST_UPLINKS = 64, 4096


def parse(given: Mapping[str, Any], origin: str) -> Topology:
    """The topology that a file describes.  Raises UserError: file, key, remedy.

    `nodes` is a range or a list of them.  Either `leaf_size: 32` puts that many consecutive nodes
    on each leaf, the same on every rail; or `leaf` names each node's: `{n[001-032]: 0}` on all
    rails, `{n001: [0, 0, 1]}` one a rail.  With neither, leaves are not known.
    """
    refuse_unknown(origin, given, KEYS)
    leaf = given.get("leaf")
    if leaf is not None and not isinstance(leaf, Mapping):
        raise UserError(f"{origin}: leaf: expected node: leaf pairs, found {kind(leaf)}")
    if leaf is not None and "leaf_size" in given:
        raise UserError(f"{origin}: leaf and leaf_size both say who hangs where; keep one")
    nodes = names(given.get("nodes", list(leaf or ())), origin)
    rails = whole(given.get("rails", widest(leaf)), origin, "rails", MOST_RAILS)
    uplinks = whole(given.get("uplinks", 0), origin, "uplinks", MOST_UPLINKS, least=0)
    if leaf is not None:
        where = explicit(leaf, nodes, rails, origin)
    elif "leaf_size" in given:
        size = whole(given["leaf_size"], origin, "leaf_size", 10**6)
        of_node = np.arange(len(nodes), dtype=np.int32) // size
        where = np.repeat(of_node[:, None], rails, axis=1)
    else:
        where = np.full((len(nodes), rails), UNKNOWN, dtype=np.int32)
    return Topology(nodes, where, uplinks, origin)


def unknown(nodes: Sequence[str], rails: int, origin: str = "") -> Topology:
    """Nobody said who hangs where: only hosts and NICs can be told apart."""
    return Topology(tuple(nodes), np.full((len(nodes), rails), UNKNOWN, dtype=np.int32), 0, origin)


def names(given: object, origin: str) -> tuple[str, ...]:
    parts = given if isinstance(given, list) else [given]
    found: list[str] = []
    for part in parts:
        if not isinstance(part, str) or not part.strip():
            raise UserError(
                f"{origin}: nodes: expected a range such as n[001-128], found {kind(part)}"
            )
        found.extend(unfold(part, origin, "nodes"))
    if not found:
        raise UserError(f"{origin}: nodes: names nobody; write for example nodes: n[001-128]")
    if len(set(found)) != len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise UserError(f"{origin}: nodes: {twice} stands twice")
    return tuple(found)


def unfold(text: str, origin: str, key: str) -> tuple[str, ...]:
    try:
        return expand(text)
    except BadRange as error:
        raise UserError(f"{origin}: {key}: {error}") from None


def whole(value: object, origin: str, key: str, most: int, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{origin}: {key}: expected a whole number, found {value!r}")
    if not least <= value <= most:
        raise UserError(f"{origin}: {key}: {value} is not between {least} and {most}")
    return value


def widest(leaf: object) -> int:
    """How many rails the explicit lists speak of."""
    if not isinstance(leaf, Mapping):
        return 1
    return max((len(value) for value in leaf.values() if isinstance(value, list)), default=1)


def explicit(
    leaf: Mapping[Any, Any], nodes: tuple[str, ...], rails: int, origin: str
) -> NDArray[np.int32]:
    where = np.full((len(nodes), rails), UNKNOWN, dtype=np.int32)
    index = {name: number for number, name in enumerate(nodes)}
    seen: set[str] = set()
    for key, value in leaf.items():
        per_rail = value if isinstance(value, list) else [value] * rails
        if len(per_rail) != rails:
            raise UserError(
                f"{origin}: leaf: {key}: expected one leaf or {rails} (one a rail), "
                f"found {len(per_rail)}"
            )
        numbers = [whole(one, origin, f"leaf: {key}", 10**6, least=0) for one in per_rail]
        for name in unfold(str(key), origin, "leaf"):
            if name not in index:
                raise UserError(f"{origin}: leaf: {name} is not among nodes")
            if name in seen:
                raise UserError(f"{origin}: leaf: {name} stands twice")
            seen.add(name)
            where[index[name]] = numbers
    return where
