"""What became of a finding over the nights: new, known, worse, flapping, cleared, back.  Pure.

The rule, once and for all of them:

- A night that did not ask says nothing: neither cleared nor new.  Asked means that the check judged
  this very part: PASS, WARN or FAIL.  UNKNOWN and SKIP of a fault that is known leave it as it is;
  a node for which there was no time is no finding of that node.
- It is cleared after CLEAR_NIGHTS healthy nights in a row, so a value that is on either side of its
  limit from night to night stays one finding; at once where the part was exchanged.
- It is worse where its status or severity is above that of each of its last CLEAR_NIGHTS nights,
  where another reason to fail joins, or where it is FURTHER times as far from its limit as when
  that was last told; once for each such step.
- It flaps from FLAPS changes within the last TRACE nights that asked, and until none is left in
  them; meanwhile it is neither cleared nor back.
- It is back where it was cleared and returns within BACK_DAYS; later it is new.
- What happened once, an exchanged part, is told once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from clusterctl.judge import OBSERVED, REACHABLE
from clusterctl.memory.identity import SWAPPED
from clusterctl.model import Finding, Severity, Status, Verdict
from clusterctl.shared import gist, kin

# Ascend/mind-cluster lets go of a fault 48 h after it was last seen: two nights.
CLEAR_NIGHTS = 2
# Nagios Core, "Detection and Handling of State Flapping": it starts at 20 % changes among the last
# 21 results, 4 of the 20 there can be, and stops below 5 %, which is none.
TRACE, FLAPS = 21, 4
BACK_DAYS = 30  # clusterctl: a month; what is older is history's
FORGET_DAYS = 90  # clusterctl: a node that nobody has asked for a quarter has left
FURTHER = 2.0  # clusterctl: a count that grows every night is told again at 2, 4, 8, not daily
LEAST_STEP = 0.02  # clusterctl: of the limit; sensors repeat to about so much
MOST_REASONS = 8
OUT_OF_TIME = re.compile(r"^missing: |the time budget of the run")  # as run.py and budget.py say it
EVENTS = frozenset({SWAPPED})  # nobody looks whether they are still so

HEALTHY = "."  # of a trace; below every letter
RANK = {Status.UNKNOWN: 0, Status.WARN: 1, Status.FAIL: 2}
GRAVER = {severity: place for place, severity in enumerate(Severity)}
MANY = "*"  # the node of a finding about what many share
# "< 89 °C", "7: on the bus", "12.5 GB/s"; not the pieces of 550.54.15 or of n017
AMOUNT = re.compile(r"(?<![\w.+-])(\d+(?:\.\d+)?)(?=$|[\s%:,;)])\s*([^\s:,;()]*)")
ANY_UNIT = frozenset({"", "or", "on", "as"})

Key = tuple[str, str, str]  # node or MANY; check; the part's own mark, else its place
Marks = Mapping[tuple[str, str], str]  # (node, part) -> serial or uuid of what sits there


class Stage(StrEnum):
    NEW = "new"
    WORSE = "worse"
    BACK = "back"
    FLAPPING = "flapping"
    UNCOVERED = "ack ended"  # see acks.py
    CLEARED = "cleared"
    KNOWN = "known"
    QUIET = "healthy, not yet cleared"
    UNSEEN = "not seen tonight"


# What a person who read yesterday's page must read today, in this order.
CHANGES = tuple(Stage)[:6]


@dataclass(frozen=True, slots=True)
class Life:
    """One finding.  `verdict`: as it was when last seen bad, the gravest of that night.

    `trace`: of the nights that asked, HEALTHY or a letter, later in the alphabet where it was
    graver; the newest last.  `distance`: from its limit,
    when that was last told.  `since`: this spell's first night; `cleared`: when, or None.
    `told`: not merely explained by another finding.  `outgrown`: acks that no longer cover it.
    `covered`: by this ack on its last night.
    """

    check: str
    verdict: Verdict
    mark: str
    reasons: tuple[str, ...]
    distance: float | None
    since: datetime
    last: datetime
    asked: datetime
    trace: str
    flapping: bool = False
    cleared: datetime | None = None
    told: bool = True
    outgrown: tuple[str, ...] = ()
    covered: str = ""

    @property
    def key(self) -> Key:
        return key_of(self.check, self.verdict, self.mark)


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to say of one finding tonight.  `why`: of the stage, in words.

    `worse`: than when it was last told, whatever the stage is called.
    """

    stage: Stage
    life: Life
    why: str = ""
    worse: bool = False


Memory = Mapping[Key, Life]


@dataclass(frozen=True, slots=True)
class Night:
    """`told`: every open finding of the nodes of this run, and those that were cleared tonight."""

    memory: Memory
    told: Sequence[Told]


NOTHING: Memory = {}


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
    """What sat at places where tonight nobody said who sits there, unless it sits elsewhere now."""
    here = {(node, mark) for (node, _), mark in marks.items()}
    return {
        (life.verdict.node, life.verdict.part): life.mark
        for life in before.values()
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


def key_of(check: str, verdict: Verdict, mark: str) -> Key:
    """A group's members and a node's like parts change from night to night and are one finding."""
    if "," in verdict.node:
        return (MANY, check, verdict.part)
    if mark:
        return (verdict.node, check, mark)
    if " " in verdict.part:
        alike = sorted({kin_of(word) for word in verdict.part.split()})
        return (verdict.node, check, " ".join(alike))
    return (verdict.node, check, verdict.part)


def kin_of(part: str) -> str:
    return re.sub(r"\d+", "#", part)


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


def gravity(verdict: Verdict) -> tuple[int, int, float]:
    return RANK[verdict.status], GRAVER[verdict.severity], distance(verdict) or 0.0


def letter(verdict: Verdict) -> str:
    return chr(ord("A") + RANK[verdict.status] * len(Severity) + GRAVER[verdict.severity])


def turns(trace: str) -> int:
    """How often it went from bad to healthy or back."""
    return sum((one == HEALTHY) != (other == HEALTHY) for one, other in pairwise(trace))


def worsened(life: Life, tonight: Sequence[Verdict], worst: Verdict) -> str:
    """How it got worse since that was last told; empty: it did not."""
    was = life.verdict
    if letter(worst) > max(life.trace[-CLEAR_NIGHTS:]):
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


def distance(verdict: Verdict) -> float | None:
    """How far a bad value is beyond its limit; None where the two are no numbers of one unit."""
    if not (limit := AMOUNT.search(verdict.expected)):
        return None
    named = what_is(verdict.actual) == what_is(verdict.expected)  # memory 96 °C, memory < 95 °C
    value = (AMOUNT.search if named else AMOUNT.match)(verdict.actual.strip())
    if not value:
        return None
    units = {limit[2], value[2]}
    if len(units - ANY_UNIT) > 1 or verdict.status is Status.UNKNOWN:
        return None
    return abs(float(value[1]) - float(limit[1]))


def what_is(text: str) -> str:
    return re.split(r"[<>≤≥=\d]", text)[0].strip()


def amount(text: str) -> float | None:
    found = AMOUNT.search(text)
    return float(found[1]) if found else None


# --------------------------------------------------------------------------- what is well tonight


class Well(StrEnum):
    """What a night knows of a finding that it does not repeat."""

    HEALTHY = "healthy"
    EXCHANGED = "the part was exchanged"
    OVER = "over"
    UNSEEN = "unseen"


class Sight:
    """Of whom each check judged what tonight, as far as open findings need to know."""

    def __init__(self, findings: Sequence[Finding], before: Memory, marks: Marks) -> None:
        self.marks = marks
        self.places: dict[tuple[str, str], str] = {
            (node, mark): part for (node, part), mark in marks.items()
        }
        asking = {
            (node, life.check) for life in before.values() for node in life.verdict.node.split(",")
        }
        asking |= {(node, REACHABLE) for node, check in asking if check in EVENTS}
        checks = {check for _, check in asking}
        self.judged: defaultdict[tuple[str, str], dict[str, set[Status]]] = defaultdict(dict)
        self.part_by_part: set[tuple[str, str]] = set()  # (check, kin) that pass one by one
        for one in findings:
            if one.check not in checks:
                continue
            verdict = one.verdict
            if verdict.status is Status.PASS:
                self.part_by_part.add((one.check, kin(verdict)))
            pair = (verdict.node, one.check)
            if pair in asking and one.shared != OBSERVED:
                self.judged[pair].setdefault(verdict.part, set()).add(verdict.status)

    def of(self, life: Life) -> Well:
        node = life.verdict.node
        if life.check in EVENTS:
            return Well.OVER if self.looked(node, REACHABLE) else Well.UNSEEN
        if "," in node:
            members = node.split(",")
            looked = sum(self.looked(member, life.check) for member in members)
            return Well.HEALTHY if 2 * looked >= len(members) else Well.UNSEEN
        if not self.looked(node, life.check):
            return Well.UNSEEN
        part = life.verdict.part
        if life.mark:
            there = self.marks.get((node, part))
            part = self.places.get((node, life.mark), "")
            if not part:  # pulled, exchanged, or its card does not show itself tonight
                return Well.EXCHANGED if there else Well.UNSEEN
        return self.at(life, node, part)

    def looked(self, node: str, check: str) -> bool:
        said = self.judged.get((node, check), {})
        return any(status in JUDGED for statuses in said.values() for status in statuses)

    def at(self, life: Life, node: str, part: str) -> Well:
        """A part that is not named was judged with the node, unless its like pass one by one."""
        said = self.judged[node, life.check]
        parts = part.split()
        named = [said[one] for one in parts if one in said]
        if named:
            well = all(statuses & JUDGED for statuses in named) and len(named) == len(parts)
            return Well.HEALTHY if well else Well.UNSEEN
        alone = any((life.check, kin_of(one)) in self.part_by_part for one in parts)
        return Well.UNSEEN if alone else Well.HEALTHY


JUDGED = frozenset({Status.PASS, Status.WARN, Status.FAIL})


def spared(life: Life, well: Well, at: datetime) -> Told:
    """A finding that tonight does not repeat."""
    if well is Well.UNSEEN:
        return Told(Stage.UNSEEN, life)
    if well is Well.OVER:
        return Told(Stage.QUIET, replace(life, asked=at, cleared=life.cleared or at))
    trace = (life.trace + HEALTHY)[-TRACE:]
    rested = trace.endswith(HEALTHY * (TRACE if life.flapping else CLEAR_NIGHTS))
    new = replace(life, trace=trace, asked=at)
    if life.cleared is not None:
        return Told(Stage.QUIET, new)
    if well is Well.EXCHANGED:
        return Told(Stage.CLEARED, replace(new, cleared=at, flapping=False), str(well))
    if rested:
        nights = len(trace) - len(trace.rstrip(HEALTHY))
        why = f"healthy {nights} nights in a row"
        return Told(Stage.CLEARED, replace(new, cleared=at, flapping=False), why)
    return Told(Stage.QUIET, new)


# --------------------------------------------------------------------------- whether to speak


def changes(night: Iterable[Told]) -> Iterator[Told]:
    """What is worth a line of its own, the most urgent first."""
    order = {stage: place for place, stage in enumerate(CHANGES)}
    said = [one for one in night if one.stage in order]
    yield from sorted(said, key=lambda one: (order[one.stage], -gravity(one.life.verdict)[0]))


def changed(night: Iterable[Told]) -> bool:
    """Whether there is anything to say to somebody who read the page of the night before."""
    return any(one.stage in CHANGES for one in night)
