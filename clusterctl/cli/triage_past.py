"""Then and now, of a triage: what earlier runs know of its suspects' nodes, within seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from clusterctl.cli import world as ambient
from clusterctl.cli.remembered import RunsAt

if TYPE_CHECKING:
    from clusterctl.cli.world import Flags
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.past.recall import Asked
    from clusterctl.triage.verdict import Triage

__all__ = ["RunsAt", "looked_back"]

BEGIN_S = 8.0  # no part of it is begun later
END_S = 15.0  # nobody waits longer: for a folder on a server that hangs, for a first digest


def looked_back(
    found: Triage, flags: Flags, runs_at: str | None, *, end_s: float = END_S
) -> tuple[Triage, Past]:
    """The answer, its suspects ordered by their past where the figures leave that open."""
    from clusterctl.fanout import each
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.past.prior import ordered
    from clusterctl.triage.past.recall import Asked

    where = runs_at or str(ambient.runs(None))
    began = time.monotonic()
    asked = Asked(
        list(dict.fromkeys(one.node for one in found.suspects if one.node)),
        ambient.now(),
        lambda: BEGIN_S - (time.monotonic() - began),
        labels(flags),
        selected(flags),
    )
    waits = each(
        [(where, asked)],
        remembered,
        at_once=1,
        left_s=lambda: end_s - (time.monotonic() - began),
    )
    late = Past(where, notes=(f"{where}: no answer within {end_s:.0f} s, so nobody looked back",))
    return ordered(found, next(waits, late))


def remembered(words: tuple[str, Asked]) -> Past:
    """What cannot be read is said, and costs the triage nothing else."""
    from clusterctl.memory.cache import UNREADABLE
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.past.recall import recall

    where, asked = words
    try:
        return recall(where, asked)
    except UNREADABLE as error:
        return Past(where, notes=(f"earlier runs cannot be read: {error}",))


def labels(flags: Flags) -> Mapping[str, Mapping[str, str]]:
    """Of every node of the inventory: who shares a leaf need not run the job."""
    from clusterctl.inventory import load

    if not flags.inventory:
        return {}
    return {node.name: node.labels for node in load(flags.inventory, nodes=flags.nodes)}


def selected(flags: Flags) -> list[str]:
    """The nodes that the operator named; an inventory alone names more than a job has."""
    from clusterctl.inventory import load
    from clusterctl.inventory.select import select

    if not (flags.nodes or flags.select):
        return []
    known = load(flags.inventory or (), nodes=flags.nodes)
    return [node.name for node in select(known, flags.select)]
