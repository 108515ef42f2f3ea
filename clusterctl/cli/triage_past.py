"""Then and now, of a triage: what earlier runs know of its suspects' nodes, within seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clusterctl.cli import world as ambient
from clusterctl.cli.remembered import RunsAt

if TYPE_CHECKING:
    from clusterctl.cli.world import Flags
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.past.recall import Asked
    from clusterctl.triage.verdict import Triage

__all__ = ["Around", "RunsAt", "around", "looked_back"]

BEGIN_S = 8.0  # no part of it is begun later
END_S = 15.0  # nobody waits longer: for a folder on a server that hangs, for a first digest


@dataclass(frozen=True, slots=True)
class Around:
    """What the inventory says.  `labels`: of each of its nodes, as who shares a leaf need not run
    the job.  `named`: the nodes that the operator named; an inventory alone names more than a job
    has.
    """

    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    named: Sequence[str] = ()


def around(flags: Flags) -> Around:
    """Raises UserError: to be called before anything is asked, or a slip costs the whole answer."""
    from clusterctl.inventory import load
    from clusterctl.inventory.select import select

    if not (flags.inventory or flags.nodes or flags.select):
        return Around()
    known = load(flags.inventory or (), nodes=flags.nodes)
    named = select(known, flags.select) if flags.nodes or flags.select else ()
    labels = {node.name: node.labels for node in known} if flags.inventory else {}
    return Around(labels, [node.name for node in named])


def looked_back(
    found: Triage, there: Around, runs_at: str | None, *, end_s: float = END_S
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
        there.labels,
        there.named,
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
