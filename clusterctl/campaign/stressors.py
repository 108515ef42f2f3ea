"""Loads that bring no result again and again: they crash, hang, or find nothing to load.

Three days of a load that dies at its start burn nothing, so its node leaves and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clusterctl.acceptance import steps_in_vain
from clusterctl.campaign.journal import Step
from clusterctl.model import (
    Burn,
    Fact,
    Finding,
    Kind,
    Observation,
    Power,
    Severity,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.spelling import visible
from clusterctl.verdicts import number_in

STRESSOR = "stressor"
OF_A_PART = frozenset({Kind.EXIT, Kind.TIMEOUT})  # of one GPU, while the others do their work


@dataclass(frozen=True, slots=True)
class Vain:
    """A step that brought nothing, or nothing of `part`.  `absent`: there was nothing to run."""

    why: str
    part: str = ""
    absent: bool = False


Rows = dict[tuple[str, str], list[Vain]]  # by trial and part: in vain one after the other, till now


def in_vain(step: Step, seen: Observation) -> tuple[Vain, ...]:
    """One of the whole step, or one of each part that it did nothing for."""
    if step.why == "exit" and step.code == 0 and has_result(seen):
        hurt = {one.part: one for one in seen.troubles if one.part and one.kind in OF_A_PART}
        return tuple(Vain(said(one), part) for part, one in hurt.items())
    if step.why == "timeout":
        return (Vain(f"it hung: no end in {step.seconds:.0f} s"),)
    if step.code is not None and step.code < 0:
        return (Vain(f"ended by signal {-step.code}"),)
    absent = bool(seen.troubles) and all(one.kind is Kind.MISSING for one in seen.troubles)
    why = said(seen.troubles[0]) if seen.troubles else "it gave no result"
    return (Vain(why, absent=absent),)


def crashed(few: Iterable[Vain]) -> bool:
    """The whole step, where there was something to run."""
    return any(not (one.absent or one.part) for one in few)


def has_result(seen: Observation) -> bool:
    """What the node drew is none, nor is a row of a tool that broke before it could count."""
    blank = [one for one in seen.facts if isinstance(one, Power) or is_blank(one)]
    return bool(seen.facts) and (len(blank) < len(seen.facts) or not seen.troubles)


def is_blank(fact: Fact) -> bool:
    return isinstance(fact, Burn) and fact.rate is None and fact.amount is None


def said(trouble: Trouble) -> str:
    return visible(trouble.detail or str(trouble.kind), 200)


def heed(rows: Rows, trial: str, few: Iterable[Vain]) -> None:
    """What a step of a trial brought nothing for; the rows of all else begin anew.

    A row that is long enough stays: whoever looked later would else call the node sound.  One that
    crashed as a whole tells nothing of a part, so the part's row waits.
    """
    hurt = {one.part: one for one in few}
    for (name, part), row in rows.items():
        if name == trial and part not in hurt and not ("" in hurt or has_had_enough(row)):
            row.clear()
    for part, one in hurt.items():
        row = rows.setdefault((trial, part), [])
        if not has_had_enough(row):
            row.append(one)


def has_had_enough(row: list[Vain]) -> bool:
    return len(row) >= number_in(steps_in_vain())


def findings(node: str, rows: Rows) -> Iterator[Finding]:
    """Of each row that is long enough."""
    for (trial, _), row in rows.items():
        if has_had_enough(row):
            yield Finding(STRESSOR, verdict(node, trial, row))


def verdict(node: str, trial: str, row: list[Vain]) -> Verdict:
    last, actual = row[-1], f"{len(row)} steps in a row in vain: {row[-1].why}"
    expected, source = "a result of every step", steps_in_vain().source
    if last.absent:
        return Verdict(
            node, trial, Status.UNKNOWN, expected, actual,
            why="there is nothing here to load it with, so nothing was tested",
            remedy="install an engine (`clusterctl list trials` names them), then burn it again",
            severity=Severity.OBSERVE, source=source,
        )  # fmt: skip
    return Verdict(
        node, f"{trial}:{last.part}" if last.part else trial, Status.FAIL, expected, actual,
        why="its load crashes or hangs here, so it cannot be burnt",
        remedy="read the kernel log for segfault, machine check and OOM; run the engine by hand "
        "here and on a neighbour: where both crash it is the engine's fault",
        severity=Severity.ISOLATE, source=source,
    )  # fmt: skip


def told(found: Finding) -> str:
    """As a campaign says why a node leaves."""
    return f"{found.check}: {found.verdict.part}: {found.verdict.actual}"
