"""What signals add to candidates: a class and a sentence; and lossy ports themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from clusterctl.triage.running.candidates import Candidate, slower
from clusterctl.triage.running.job import Job
from clusterctl.triage.running.of_wires import LOSS, ranks
from clusterctl.triage.running.signals import Signal, alike
from clusterctl.triage.verdict import Cause, Suspect

# What a main thread may be in because of its node; it sleeps and locks by itself.
MAY_SUFFER = frozenset({"run", "device", "other", "wire", "disk", "file"})
PAGES_IN = frozenset({"disk", "file"})  # what it waits in when it has to get its memory back


def supported(one: Candidate, odd: Sequence[Signal]) -> Candidate:
    """With what stands out on its first suspect's node, which may say why it is slow."""
    if one.stuck or not one.suspects:
        return one
    first = one.suspects[0]
    own = [
        its
        for its in odd
        if its.node == first.node and (not first.what.startswith("gpu") or its.part in first.what)
    ]
    if not own:
        return one
    cause = named(one, own)
    why = (*first.why, *(its.says for its in own))
    what = first.node if cause is Cause.HOST and cause is not one.cause else first.what
    suspect = replace(first, what=what, why=why)
    step = one.next_step if cause is one.cause else ""
    return replace(
        one,
        cause=cause,
        why=(*one.why, *(its.says for its in own)),
        suspects=(suspect, *one.suspects[1:]),
        next_step=step,
    )


def named(one: Candidate, own: Sequence[Signal]) -> Cause:
    causes = {its.cause for its in own}
    if one.cause is Cause.WORKER and one.doing in MAY_SUFFER:
        order = (Cause.HOST, Cause.DATA, Cause.NETWORK)
        return next((cause for cause in order if cause in causes), one.cause)
    if one.cause is Cause.DATA and one.doing in PAGES_IN and Cause.DATA not in causes:
        return Cause.HOST if any(its.pages for its in own) else one.cause
    return one.cause


def lossy(job: Job, odd: Sequence[Signal]) -> Iterator[Candidate]:
    """A port that loses more than a healthy path does: a fault that shows itself."""
    for its in odd:
        if its.loss is not None and its.loss > LOSS:
            name = f"{its.node} {its.part}"
            suspect = Suspect(
                name, ranks(job, its.node), its.node, slower(0.0), its.confidence, (its.says,)
            )
            yield Candidate(Cause.NETWORK, 0.0, its.confidence, (its.says,), (suspect,))


def noted(job: Job, odd: Sequence[Signal]) -> tuple[str, ...]:
    """Where nobody is accused: what stands out all the same, and what most nodes do alike."""
    lines = [f"{its.node} stands out, but nobody waits for it: {its.says}" for its in odd]
    return (*lines, *alike(job))
