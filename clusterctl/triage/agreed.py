"""Counters and stacks of a running job as one answer: counters say who, stacks say where in code.

Three looks at a stack cannot tell a slow job from a busy one, so stacks alone accuse nobody where
counters, which count every moment, find all ranks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clusterctl.triage.combined import combined, together
from clusterctl.triage.stacks.asked_stacks import Stacks
from clusterctl.triage.stacks.places import Stay, stays
from clusterctl.triage.stacks.stack_verdict import NEXT, where
from clusterctl.triage.verdict import NO_CULPRIT, Cause, Suspect, Triage

# What the code does, and counters can only guess: a rank that computes may be collecting garbage.
BY_CODE = frozenset({Cause.DATA, Cause.GC, Cause.CHECKPOINT})


def with_stacks(live: Triage, stacks: Stacks) -> Triage:
    told = stacks.triage()
    unseen = tuple(dict.fromkeys((*live.unseen, *stacks.unseen)))
    if live.cause is Cause.UNKNOWN:
        return replace(combined([live, told]), unseen=unseen)
    seen = stays(stacks.ranks)
    if live.cause is Cause.HEALTHY or not live.suspects:
        return replace(without_culprit(live, told), unseen=unseen)
    suspects = tuple(known(one, told, seen) for one in live.suspects)
    cause: Cause = live.cause
    if cause is Cause.WORKER and told.cause in BY_CODE and shared(suspects[0], told.suspects):
        cause = told.cause
    step = told.next_step if shared(suspects[0], told.suspects) else ""
    own = of(suspects[0], seen)
    if not step and cause is Cause.WORKER and own is not None:
        step = NEXT.get(own.kind, "")
    return replace(
        live,
        cause=cause,
        suspects=suspects,
        confidence=max(live.confidence, suspects[0].confidence),
        ruled_out=tuple(one for one in live.ruled_out if one.cause is not cause),
        next_step=step or live.next_step,
        unseen=unseen,
    )


def without_culprit(live: Triage, told: Triage) -> Triage:
    """What stacks say is evidence; where both say the same, it is surer."""
    if told.cause is live.cause:
        sure = 1 - (1 - live.confidence) * (1 - told.confidence)
        lines = told.evidence[:2]
        return replace(live, confidence=sure, evidence=(*live.evidence, *lines))
    if told.suspects and told.cause not in NO_CULPRIT:
        one = told.suspects[0]
        line = f"stacks, of few looks: {one.what} {one.why[0] if one.why else ''}".rstrip()
        return replace(live, evidence=(*live.evidence, line))
    return live


def shared(suspect: Suspect, others: Sequence[Suspect]) -> Suspect | None:
    for one in others:
        if set(one.ranks) & set(suspect.ranks) or (not suspect.ranks and one.node == suspect.node):
            return one
    return None


def known(suspect: Suspect, told: Triage, seen: Sequence[Stay]) -> Suspect:
    """With what its stack says."""
    other = shared(suspect, told.suspects)
    if other is not None:
        return together(suspect, other)
    own = of(suspect, seen)
    if own is None:
        return suspect
    return replace(suspect, why=(*suspect.why, f"its stack: {where(own)}"))


def of(suspect: Suspect, seen: Sequence[Stay]) -> Stay | None:
    """None: it is several ranks, or none that was looked at."""
    if suspect.ranks:
        own = [one for one in seen if one.who.rank in suspect.ranks]
    else:
        own = [one for one in seen if one.who.node == suspect.node]
    return own[0] if len(own) == 1 and suspect.node else None
