"""What became of a finding over the nights: new, known, worse, flapping, cleared, back.  Pure.

The rule, once and for all of them:

- A night that did not ask says nothing: neither cleared nor new.  Asked means that the check judged
  this very part: PASS, WARN or FAIL.  UNKNOWN and SKIP of a fault that is known leave it as it is;
  a node for which there was no time is no finding of that node.
- It is cleared after CLEAR_NIGHTS healthy nights in a row, so a value that is on either side of its
  limit from night to night stays one finding; at once where the part was exchanged.
- It is worse where its status or severity is above that of its last CLEAR_NIGHTS bad nights, where
  another reason to fail joins, or where it is FURTHER times as far from its limit as when that was
  last told; once for each such step.
- It flaps from FLAPS changes within the last TRACE nights that asked, and until none is left in
  them; meanwhile it is neither cleared nor back.
- It is back where it was cleared and returns within BACK_DAYS; later it is new.
- What happened once, an exchanged part, is told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from clusterctl.model import Severity, Status, Verdict

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


def gravity(verdict: Verdict) -> tuple[int, int, float]:
    return RANK[verdict.status], GRAVER[verdict.severity], distance(verdict) or 0.0


def letter(verdict: Verdict) -> str:
    return chr(ord("A") + RANK[verdict.status] * len(Severity) + GRAVER[verdict.severity])


def turns(trace: str) -> int:
    """How often it went from bad to healthy or back."""
    return sum((one == HEALTHY) != (other == HEALTHY) for one, other in pairwise(trace))


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


def changes(night: Iterable[Told]) -> Iterator[Told]:
    """What is worth a line of its own, the most urgent first."""
    order = {stage: place for place, stage in enumerate(CHANGES)}
    said = [one for one in night if one.stage in order]
    yield from sorted(said, key=lambda one: (order[one.stage], -gravity(one.life.verdict)[0]))


def changed(night: Iterable[Told]) -> bool:
    """Whether there is anything to say to somebody who read the page of the night before."""
    return any(one.stage in CHANGES for one in night)
