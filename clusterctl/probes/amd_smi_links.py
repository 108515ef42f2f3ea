"""xGMI links out of amd-smi's trees: by its link status where it has one, else by its topology."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Kind, Link, Trouble
from clusterctl.probes.amd_smi_cells import amount
from clusterctl.spelling import Unreadable, visible

PORT_STATES = {"U": "up", "D": "down", "X": "inactive"}  # amd-smi xgmi --link-status
ACCESS = {"ENABLED": "up", "DISABLED": "down"}
Trees = Mapping[int, Mapping[str, Any]]


def links(trees: Trees) -> Iterator[Link | Trouble]:
    """Nothing for cards that hang on PCIe alone."""
    for index in sorted(trees):
        part, tree = f"gpu{index}", trees[index]
        found = list(ports(part, tree)) or list(pairs(part, tree))
        yield from found


def ports(part: str, tree: Mapping[str, Any]) -> Iterator[Link | Trouble]:
    """One a port of the chip, in the chip's own order; the tool writes SELF at its own place."""
    told = tree.get("link_status")
    for number, state in enumerate(told if isinstance(told, list) else ()):
        word = spelled(state)
        if word in PORT_STATES:
            rate = rate_of(tree)
            yield Link(f"{part}/link{number}", part, "xgmi", PORT_STATES[word], rate)
        elif word not in {"SELF", "N/A"}:
            yield Trouble(Kind.UNREADABLE, f"xgmi link {number}: not a state: {word}", part)


def spelled(state: object) -> str:
    return visible(state, 40) if isinstance(state, str) else "no word"


def pairs(part: str, tree: Mapping[str, Any]) -> Iterator[Link | Trouble]:
    """One a peer that is reached by xGMI."""
    for peer, kind, state in (*listed(tree), *mapped(tree)):
        word = spelled(state)
        if kind != "XGMI" or state is None or word == "N/A":
            continue
        if word in ACCESS:
            yield Link(f"{part}/to-gpu{peer}", part, "xgmi", ACCESS[word], rate_of(tree))
        else:
            yield Trouble(Kind.UNREADABLE, f"xgmi to gpu{peer}: not a state: {word}", part)


def listed(tree: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Since ROCm 6.1.1, and our own reading of the tables."""
    told = tree.get("links")
    for link in told if isinstance(told, list) else ():
        peer = link.get("gpu") if isinstance(link, Mapping) else None
        if isinstance(link, Mapping) and isinstance(peer, str) and peer.isdecimal():
            yield peer[:4], link.get("link_type"), link.get("link_status", link.get("access"))


def mapped(tree: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Before: {"link_type": {"gpu_1": "XGMI"}, "link_accessibility": {"gpu_1": "ENABLED"}}."""
    kinds, states = tree.get("link_type"), tree.get("link_accessibility")
    if isinstance(kinds, Mapping) and isinstance(states, Mapping):
        for key, kind in kinds.items():
            if key.startswith("gpu_") and key[4:].isdecimal():
                yield key[4:8], kind, states.get(key)


def rate_of(tree: Mapping[str, Any]) -> float | None:
    """512 Gb/s are 64 GB/s; None where the tool does not say, or not in a way that we know."""
    metrics = tree.get("link_metrics")
    if not isinstance(metrics, Mapping) or metrics.get("link_type") != "XGMI":
        return None
    try:
        rate = amount("Gb/s", "max_bandwidth")(metrics)
    except Unreadable:
        return None
    return rate / 8 if rate else None
