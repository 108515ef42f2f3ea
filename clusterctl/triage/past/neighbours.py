"""Who shares a leaf or a rack with a node: by the inventory's labels, or by a stored run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clusterctl.bandwidth import folder as bandwidth_folder
from clusterctl.localise.columns import UNKNOWN
from clusterctl.model import UserError
from clusterctl.triage.past.known import Shared

LEAF, LEAVES, RACK = "leaf", "leaves", "rack"  # as rails.py and inventories name them
NEWEST = 5  # runs of bandwidth that are opened


def shared(
    node: str, labels: Mapping[str, Mapping[str, str]], leaves: Mapping[str, tuple[str, ...]]
) -> list[Shared]:
    """Its leaves, then its rack.  `leaves`: of one stored run, where labels do not tell them."""
    own = labels.get(node, {})
    found = []
    if own.get(LEAVES):
        found += by_rail(node, {n: one.get(LEAVES, "") for n, one in labels.items()})
    elif own.get(LEAF):
        found += alike(node, LEAF, {n: one.get(LEAF, "") for n, one in labels.items()})
    elif node in leaves:
        found += by_rail(node, {n: " ".join(one) for n, one in leaves.items()})
    if own.get(RACK):
        found += alike(node, RACK, {n: one.get(RACK, "") for n, one in labels.items()})
    return put_together(found)


def put_together(found: Iterable[Shared]) -> list[Shared]:
    """What is shared with the same nodes, once."""
    names: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        names.setdefault(one.others, []).append(one.what)
    return [Shared(" and ".join(what), others) for others, what in names.items()]


def alike(node: str, key: str, values: Mapping[str, str]) -> list[Shared]:
    others = sorted(name for name, one in values.items() if one == values[node] and name != node)
    return [Shared(f"{key}={values[node]}", tuple(others))]


def by_rail(node: str, values: Mapping[str, str]) -> list[Shared]:
    """One a leaf."""
    own = values[node].replace(",", " ").split()
    found = []
    for rail, leaf in enumerate(own):
        mates = []
        for name, text in values.items():
            words = text.replace(",", " ").split()
            if name != node and len(words) > rail and words[rail] == leaf:
                mates.append(name)
        if leaf != str(UNKNOWN):
            found.append(Shared(f"leaf {leaf} (rail {rail})", tuple(sorted(mates))))
    return found


def leaves_of(runs_dir: Path, nodes: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Of each node: everybody's leaf on each rail, by the newest run of `bandwidth` that knows its.

    Each run counts leaves anew: the same number in two of them is not the same leaf.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    paths = sorted(runs_dir.glob("*/topology.json"), reverse=True)
    for path in paths[:NEWEST]:
        try:
            topology = bandwidth_folder.topology(path.parent)
        except (UserError, KeyError, TypeError, ValueError):
            continue
        rows = zip(topology.nodes, topology.leaf.tolist(), strict=True)
        leaves = {name: tuple(map(str, row)) for name, row in rows}
        for name in nodes:
            if name not in found and {*leaves.get(name, ())} - {str(UNKNOWN)}:
                found[name] = leaves
    return found
