"""One night more in the lives of findings; life.py says by which rule.  Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from clusterctl.judge import OBSERVED, REACHABLE
from clusterctl.memory.life import (
    BACK_DAYS,
    CLEAR_NIGHTS,
    FLAPS,
    FORGET_DAYS,
    FURTHER,
    HEALTHY,
    LEAST_STEP,
    MOST_REASONS,
    RANK,
    TRACE,
    Key,
    Life,
    Marks,
    Memory,
    Night,
    Stage,
    Told,
    amount,
    distance,
    gravity,
    key_of,
    letter,
    turns,
)
from clusterctl.memory.sight import Sight, Well
from clusterctl.model import Finding, Status, Verdict
from clusterctl.shared import gist

OUT_OF_TIME = re.compile(r"^missing: |the time budget of the run")  # as run.py and budget.py say it


def step(
    before: Memory,
    findings: Sequence[Finding],
    at: datetime,
    marks: Marks,
) -> Night:
    """One night more.  Nodes that `findings` does not name were not asked."""
    marks = {**remembered(before, marks), **marks}
    before = {life.key: life for life in recognised(before, marks)}
    bad = tonight(findings, marks)
    seen = Sight(findings, before, marks)
    told = [accused(before.get(key), hits, at, marks) for key, hits in bad.items()]
    told += [spared(life, seen.of(life), at) for key, life in before.items() if key not in bad]
    kept = {one.life.key: one.life for one in told if not forgotten(one.life, at)}
    here = {name for one in findings for name in one.verdict.node.split(",")}
    return Night(kept, [one for one in told if matters(one) and about(one.life, here)])


def about(life: Life, nodes: Collection[str]) -> bool:
    """Of a run of few nodes the others' findings are none of its business."""
    return any(name in nodes for name in life.verdict.node.split(","))


def remembered(before: Memory, marks: Marks) -> Marks:
    """What sat at places where tonight nobody said who sits there, unless it sits elsewhere now.

    Of two that sat there one after the other, the one that was seen there last.
    """
    here = {(node, mark) for (node, _), mark in marks.items()}
    return {
        (life.verdict.node, life.verdict.part): life.mark
        for life in sorted(before.values(), key=lambda life: life.last)
        if life.mark and (life.verdict.node, life.mark) not in here
    }


def recognised(before: Memory, marks: Marks) -> Iterator[Life]:
    """With the marks of parts that had not named themselves before."""
    for life in before.values():
        mark = "" if life.mark else marks.get((life.verdict.node, life.verdict.part), "")
        yield replace(life, mark=mark) if mark else life


def matters(one: Told) -> bool:
    """To anybody: explained findings are told with what explains them."""
    return one.life.told and (one.life.cleared is None or one.stage is Stage.CLEARED)


def forgotten(life: Life, at: datetime) -> bool:
    past = life.cleared is not None and at - life.last > timedelta(days=BACK_DAYS)
    return past or at - life.asked > timedelta(days=FORGET_DAYS)


# --------------------------------------------------------------------------- what is bad tonight


def tonight(findings: Iterable[Finding], marks: Marks) -> dict[Key, list[Finding]]:
    """What is bad, by what it is about; what nobody could look at is not among them."""
    bad: defaultdict[Key, list[Finding]] = defaultdict(list)
    for one in findings:
        verdict = one.verdict
        if verdict.status in RANK and one.shared != OBSERVED and not unasked(one):
            mark = marks.get((verdict.node, verdict.part), "")
            bad[key_of(one.check, verdict, mark)].append(one)
    return bad


def unasked(one: Finding) -> bool:
    """The run ended before: whoever was not asked is listed by the run itself, every time."""
    return one.check == REACHABLE and OUT_OF_TIME.search(one.verdict.why) is not None


def told_nothing(hits: Sequence[Finding], life: Life) -> bool:
    """All that is said tonight of a known fault is that it cannot be seen."""
    return life.verdict.status is not Status.UNKNOWN and all(
        one.verdict.status is Status.UNKNOWN for one in hits
    )


def accused(life: Life | None, hits: Sequence[Finding], at: datetime, marks: Marks) -> Told:
    """A finding of tonight, as the latest in its life."""
    worst = max(hits, key=lambda one: gravity(one.verdict))
    told = any(not one.shared for one in hits)
    reasons = tuple(dict.fromkeys(gist(one.verdict) for one in hits))
    if life is None:
        verdict = worst.verdict
        mark = marks.get((verdict.node, verdict.part), "")
        away = distance(verdict)
        trace = letter(verdict)
        made = Life(worst.check, verdict, mark, reasons, away, at, at, at, trace, told=told)
        return Told(Stage.NEW, made)
    if told_nothing(hits, life):
        return Told(Stage.UNSEEN, life, worst.verdict.why)
    trace = (life.trace + letter(worst.verdict))[-TRACE:]
    more = worsened(life, [one.verdict for one in hits], worst.verdict)
    returned = life.cleared is not None
    new = replace(
        life,
        verdict=worst.verdict,
        reasons=tuple(dict.fromkeys((*life.reasons, *reasons)))[-MOST_REASONS:],
        distance=distance(worst.verdict) if more or returned else life.distance,
        since=at if returned and not life.flapping else life.since,
        last=at,
        asked=at,
        trace=trace,
        flapping=life.flapping or turns(trace) >= FLAPS,
        cleared=None,
        told=told,
    )
    return Told(*named(life, new, more), worse=bool(more))


def named(life: Life, new: Life, more: str) -> tuple[Stage, Life, str]:
    if new.flapping and not life.flapping:
        turned = f"{turns(new.trace)} changes in {len(new.trace)} nights"
        return Stage.FLAPPING, new, "; ".join(filter(None, (turned, more)))
    if life.cleared is not None:
        cleared = f"it was cleared on {life.cleared:%Y-%m-%d}"
        return Stage.BACK, new, "; ".join(filter(None, (cleared, more)))
    return (Stage.WORSE, new, more) if more else (Stage.KNOWN, new, "")


def worsened(life: Life, tonight: Sequence[Verdict], worst: Verdict) -> str:
    """How it got worse since that was last told; empty: it did not."""
    was = life.verdict
    if letter(worst) > max(life.trace.replace(HEALTHY, "")[-CLEAR_NIGHTS:], default=HEALTHY):
        rose = worst.status is not was.status
        return (
            f"{worst.status}, was {was.status}" if rose else f"{worst.severity}, was {was.severity}"
        )
    for verdict in tonight:
        if verdict.status is Status.FAIL and gist(verdict) not in life.reasons:
            return "another reason joined"
    away, told = distance(worst), life.distance
    if away is None or told is None or away < FURTHER * told:
        return ""
    least = LEAST_STEP * abs(amount(worst.expected) or 0.0)
    return f"{worst.actual}, told before at {told:g} from its limit" if away - told > least else ""


# --------------------------------------------------------------------------- what is well tonight


def spared(life: Life, well: Well, at: datetime) -> Told:
    """A finding that tonight does not repeat."""
    asked = replace(life, asked=at)
    others = {
        Well.UNSEEN: Told(Stage.UNSEEN, life),
        Well.STAYS: Told(Stage.KNOWN, asked, str(Well.STAYS)),
        Well.OVER: Told(Stage.QUIET, replace(asked, cleared=life.cleared or at)),
    }
    if well in others:
        return others[well]
    trace = (life.trace + HEALTHY)[-TRACE:]
    rested = trace.endswith(HEALTHY * (TRACE if life.flapping else CLEAR_NIGHTS))
    new = replace(asked, trace=trace)
    if life.cleared is not None:
        return Told(Stage.QUIET, new)
    if well is Well.EXCHANGED:
        return Told(Stage.CLEARED, replace(new, cleared=at, flapping=False), str(well))
    if rested:
        nights = len(trace) - len(trace.rstrip(HEALTHY))
        why = f"healthy {nights} nights in a row"
        return Told(Stage.CLEARED, replace(new, cleared=at, flapping=False), why)
    return Told(Stage.QUIET, new)
