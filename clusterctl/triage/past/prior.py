"""The past as a prior: it orders suspects that are as good as equal, and does nothing else.  Pure.

It names nobody, frees nobody, and makes nobody surer: what a node did last week is no evidence of
what it does to this job.  Only where the figures of today leave it open who comes first, who has
more of a past comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clusterctl.triage.past.known import NodePast, Past
from clusterctl.triage.verdict import Suspect, Triage

NEAR = 0.05  # of confidence, clusterctl: figures are no surer than that


def ordered(found: Triage, past: Past) -> tuple[Triage, Past]:
    """The same suspects, as sure as before; `past.prior` says what became of their order."""
    known = {one.node: reasons(one) for one in past.nodes}
    if len(found.suspects) < 2:
        return found, past
    first = found.suspects[0]
    near = [one for one in found.suspects if first.confidence - one.confidence < NEAR]
    rest = [one for one in found.suspects if one not in near]
    better = sorted(near, key=lambda one: -len(known.get(one.node, ())))
    if better == near:
        return found, past
    told = replace(found, suspects=(*better, *rest))
    return told, replace(past, prior=said(better[0], first, known[better[0].node]))


def reasons(one: NodePast) -> list[str]:
    """What speaks against a node before anybody looks at the job."""
    failing = [trace for trace in one.open if trace.now == "fail"]
    told = []
    if failing:
        told.append(f"{failing[0].check} fails there since {failing[0].first:%Y-%m-%d}")
    if one.lemon and one.lemon.score and one.lemon.score.lemon:
        told.append("it is a lemon")
    if one.changed:
        told.append("it changed since it was last healthy")
    return told


def said(now: Suspect, was: Suspect, why: Sequence[str]) -> str:
    if now == was:
        return "suspects behind the first are as sure as each other: in the order of their past"
    return (
        f"{now.what} stands before {was.what}, which is as sure ({was.confidence:.0%}): "
        f"{'; '.join(why)}"
    )
