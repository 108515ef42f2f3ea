"""Several answers about one job as one: what agrees grows surer, what contradicts is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clusterctl.triage.verdict import NO_CULPRIT, Cause, Suspect, Triage

SUREST = 0.98  # however many agree: they looked at one job
SILENT = frozenset({Cause.UNKNOWN, Cause.HEALTHY})


def combined(found: Sequence[Triage]) -> Triage:
    """The surest that names somebody leads, then the surest; the rest are its evidence.

    Raises ValueError where there is none.
    """
    if len(found) == 1:
        return found[0]
    ordered = sorted(found, key=weight, reverse=True)
    first, rest = ordered[0], ordered[1:]
    suspects = () if first.cause in NO_CULPRIT else merged(ordered)
    causes = {one.cause for one in ordered}  # what one answer finds another cannot rule out
    return replace(
        first,
        suspects=suspects,
        confidence=max((one.confidence for one in suspects), default=first.confidence),
        share=next((one.share for one in ordered if one.share), {}),
        slowdown=first.slowdown,
        ruled_out=tuple(
            {
                one.cause: one
                for each in reversed(ordered)
                for one in each.ruled_out
                if one.cause not in causes
            }.values()
        ),
        evidence=(*first.evidence, *(line for one in rest for line in told(one, first))),
        unseen=tuple(dict.fromkeys(line for one in ordered for line in one.unseen)),
    )


def weight(one: Triage) -> tuple[bool, bool, float]:
    return (one.cause not in SILENT, bool(one.suspects), one.confidence)


def told(one: Triage, first: Triage) -> list[str]:
    """What an answer that does not lead adds."""
    if one.cause in SILENT or one.cause is first.cause:
        return list(one.evidence[:2])
    return [f"{one.cause} was found, too ({one.confidence:.0%} sure)", *one.evidence[:2]]


def merged(ordered: Sequence[Triage]) -> tuple[Suspect, ...]:
    """One suspect a rank, or a part where no rank is told; agreement makes it surer."""
    known: dict[object, Suspect] = {}
    for each in ordered:
        for one in each.suspects if each.cause not in NO_CULPRIT else ():
            key: object = one.ranks or one.what
            old = known.get(key)
            known[key] = one if old is None else together(old, one)
    return tuple(sorted(known.values(), key=lambda one: -one.confidence))


def together(old: Suspect, new: Suspect) -> Suspect:
    sure = 1 - (1 - old.confidence) * (1 - new.confidence)
    return replace(
        old,
        node=old.node or new.node,
        confidence=max(old.confidence, min(SUREST, sure)),
        why=(*old.why, *(line for line in new.why if line not in old.why)),
    )
