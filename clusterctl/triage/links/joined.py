"""A triage and what probing its paths showed, as one answer.  Pure.

- What the probe names is evidence: for a NIC that counters suspect, too, it makes them surer; for
  another it is a suspect beside theirs.  A job that nothing else explains is called slow by its
  network where a NIC was caught; a cause that explains the job stays, and the NIC is told with it.
- What the probe clears speaks against a suspect as far as the probe can see: full rounds measure
  rates, and a NIC as fast as its peers is not sure to be slow; a few small messages see losses and
  queues, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import nan

from clusterctl.triage.combined import SILENT, SUREST
from clusterctl.triage.links.known import Links
from clusterctl.triage.verdict import NO_CULPRIT, Cause, RuledOut, Suspect, Triage

UNSURE = 0.5  # that it is what slows the job: the counters of the job did not show it
CLEARED = 0.5  # of confidence, at most, where rates were measured and are as its peers'


def joined(found: Triage, probed: Sequence[Links], ranks: dict[str, tuple[int, ...]]) -> Triage:
    """`ranks`: of the job, by node."""
    for one in probed:
        found = with_one(found, one, ranks)
    return found


def with_one(found: Triage, links: Links, ranks: dict[str, tuple[int, ...]]) -> Triage:
    suspects = [replace(one, ranks=ranks.get(one.node, ())) for one in links.suspects]
    told = replace(
        found,
        evidence=(*found.evidence, *filter(None, (links.everybody,)), *links.evidence),
        unseen=(*found.unseen, *(line for line in links.unseen if line not in found.unseen)),
    )
    if found.cause is Cause.NETWORK:
        return of_network(told, links, suspects)
    if not suspects and links.everybody:
        return crowded(told) if found.cause in SILENT else told
    if not suspects:
        return without(told, links)
    if found.cause in SILENT:
        return caught(told, suspects, links)
    lines = [f"{one.what}: {line}" for one in suspects for line in one.why[:1]]
    return less(replace(told, evidence=(*told.evidence, *lines)), suspects[0])


def of_network(found: Triage, links: Links, suspects: Sequence[Suspect]) -> Triage:
    """Every suspect with what the probe says of it."""
    left = list(suspects)
    made = []
    for one in found.suspects:
        same = [other for other in left if matches(one, other)]
        left = [other for other in left if other not in same]
        made.append(strengthened(one, same) if same else spoken_against(one, links))
    ordered = sorted([*made, *left], key=lambda one: -one.confidence)
    sure = max((one.confidence for one in ordered), default=found.confidence)
    evidence = found.evidence
    if not suspects and links.quiet:
        evidence = (*evidence, links.quiet)
    return replace(found, suspects=tuple(ordered), confidence=sure, evidence=evidence)


def matches(one: Suspect, other: Suspect) -> bool:
    """The same NIC the same way, or a node and one of its NICs."""
    if one.node != other.node or not one.node:
        return False
    ways = [{"sends", "receives"} & set(each.what.split()) for each in (one, other)]
    return not all(ways) or bool(ways[0] & ways[1])


def strengthened(one: Suspect, same: Sequence[Suspect]) -> Suspect:
    unsure = 1 - one.confidence
    for other in same:
        unsure *= 1 - other.confidence
    lines = tuple(line for other in same for line in other.why)
    sure = max(one.confidence, *(each.confidence for each in same), min(SUREST, 1 - unsure))
    return replace(one, confidence=sure, why=(*one.why[:2], *lines, *one.why[2:]))


def spoken_against(one: Suspect, links: Links) -> Suspect:
    if one.node not in links.nodes:
        return one
    if links.rates:
        line = f"but: {links.how}: its paths carry what those of its peers do"
        return replace(one, confidence=min(one.confidence, CLEARED), why=(*one.why, line))
    line = f"but: {links.how}: it loses no more and no queue stands there more than with its peers"
    return replace(one, why=(*one.why, line))


def caught(found: Triage, suspects: Sequence[Suspect], links: Links) -> Triage:
    """Nothing else explains the job, and a NIC shows a fault."""
    return replace(
        found,
        cause=Cause.NETWORK,
        slowdown=nan,
        share={},
        suspects=tuple(suspects),
        confidence=suspects[0].confidence,
        ruled_out=tuple(one for one in found.ruled_out if one.cause is not Cause.NETWORK),
        evidence=(*found.evidence, f"the counters alone: {found.cause}; {links.how} adds this"),
        next_step="",
    )


def crowded(found: Triage) -> Triage:
    """Nothing else explains the job, and everybody's messages are lost or wait."""
    rest = tuple(o for o in found.ruled_out if o.cause not in {Cause.NETWORK, Cause.CONGESTION})
    line = f"the counters alone: {found.cause}"
    return replace(
        found,
        cause=Cause.CONGESTION,
        slowdown=nan,
        share={},
        confidence=UNSURE,
        ruled_out=rest,
        evidence=(*found.evidence, line),
        next_step="",
    )


def without(found: Triage, links: Links) -> Triage:
    """The network is ruled out a second time."""
    if not links.quiet:
        return found
    before = [one for one in found.ruled_out if one.cause is Cause.NETWORK]
    why = "; ".join([*(one.why for one in before), links.quiet])
    rest = tuple(one for one in found.ruled_out if one.cause is not Cause.NETWORK)
    return replace(found, ruled_out=(*rest, RuledOut(Cause.NETWORK, why)))


def less(found: Triage, suspect: Suspect) -> Triage:
    """Another cause explains the job; the network is not ruled out."""
    rest = tuple(one for one in found.ruled_out if one.cause is not Cause.NETWORK)
    if found.cause in NO_CULPRIT or not found.suspects:
        return replace(found, ruled_out=rest)
    why = f"less: {suspect.what} ({suspect.confidence:.0%} sure): {suspect.why[0]}"
    return replace(found, ruled_out=(*rest, RuledOut(Cause.NETWORK, why)))
