"""What a node's journal says of its campaign, learned as the bytes come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from clusterctl import journal
from clusterctl.journal import Corrupt, Record, Sample, Step

RESULTS = frozenset({"exit", "timeout", "flood"})  # of a step that ran as it was asked to


@dataclass(slots=True)
class Course:
    """A fold: equal bytes, however they were cut, give an equal course.

    `gone`: steps that were accepted and will never end as asked.  `soaking`: the id of the soak
    that goes on by itself; empty: none does.
    """

    size: int = 0
    last: int | None = None  # sequence number
    accepted: set[str] = field(default_factory=set)
    ended: dict[str, Step] = field(default_factory=dict)
    soaked: list[Step] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    soaks: set[str] = field(default_factory=set)  # accepted
    soaking: str = ""
    running: str = ""  # name of the step
    boots: list[str] = field(default_factory=list)
    lives: int = 0
    corrupt: int = 0
    burnt_s: float = 0.0
    sample: Sample | None = None
    samples: int = 0
    begun: Record | None = None
    unburnt: list[Record | Corrupt] = field(default_factory=list)
    unsampled: list[Record | Corrupt] = field(default_factory=list)


def learn(course: Course, data: bytes) -> None:
    """`data`: whole lines, the next ones of the journal."""
    course.size += len(data)
    found = list(journal.records(data, after=course.last))
    for one in found:
        if isinstance(one, Corrupt):
            course.corrupt += 1
            continue
        course.last = one.sequence
        hear(course, one)
    burn(course, found)
    look(course, found)


def hear(course: Course, one: Record) -> None:
    cells = one.cells
    match one.kind:
        case "start":
            course.lives += 1
            if cells.get("boot") not in course.boots[-1:]:
                course.boots.append(str(cells.get("boot", "")))
            course.gone |= course.accepted - course.ended.keys()
            course.soaking = ""
        case "command" if cells.get("do") == "run":
            course.accepted.add(str(cells.get("id")))
        case "command" if cells.get("do") == "soak":
            course.soaking = str(cells.get("id")) if cells.get("on") else ""
            course.soaks.add(str(cells.get("id")))
        case "dropped":
            course.gone.add(str(cells.get("step")))
    if ceases(one):
        course.soaking = ""
    if one.kind in {"begin", "end", "start", "orphaned"}:
        step(course, one)


def ceases(one: Record) -> bool:
    """All load stops here, and does not come back by itself."""
    if one.kind == "lease":
        return one.cells.get("held") is False and one.cells.get("policy") != "run_on"
    return one.kind in {"finish", "stop"} or (one.kind == "disk" and bool(one.cells.get("error")))


def step(course: Course, one: Record) -> None:
    around = [course.begun, one] if course.begun else [one]
    for done in journal.steps(around):
        if done.why not in RESULTS:
            course.gone.add(done.identity)
        elif done.soak:
            course.soaked.append(done)
        else:
            course.ended[done.identity] = done
    course.begun = one if one.kind == "begin" else None
    course.running = str(one.cells.get("name", "")) if course.begun else ""


def burn(course: Course, found: Iterable[Record | Corrupt]) -> None:
    """Count up to the last sample; what stands there is told to the next count as a prelude."""
    course.unburnt += found
    ends = [
        place
        for place, one in enumerate(course.unburnt)
        if isinstance(one, Record) and one.kind in {"full", "sample"}
    ]
    if not ends:
        return
    known, later = course.unburnt[: ends[-1] + 1], course.unburnt[ends[-1] + 1 :]
    course.burnt_s += journal.burnt_s(known)
    course.unburnt = prelude(known) + later


def prelude(known: list[Record | Corrupt]) -> list[Record | Corrupt]:
    """The few records after which a count stands where it stands after all of these."""
    start = begun = last = None
    for one in known:
        if isinstance(one, Corrupt):
            begun = None
        elif one.kind in {"start", "orphaned", "end"}:
            begun = None
            start = one if one.kind == "start" else start
        elif one.kind == "begin":
            begun = one
        last = one
    if not isinstance(last, Record):
        return []
    since = [Record(begun.sequence, "begin", last.at_s, begun.cells)] if begun else []
    return [*([start] if start else []), *since, last]


def look(course: Course, found: Iterable[Record | Corrupt]) -> None:
    course.unsampled += found
    seen = list(journal.samples(course.unsampled))
    if course.sample is not None:
        seen = seen[1:]  # the one that we told it
    course.samples += len(seen)
    course.unsampled = [one for one in course.unsampled[-1:] if isinstance(one, Corrupt)]
    if seen:
        course.sample = seen[-1]
    if course.sample is not None:
        values = course.sample.values
        groups = [["", list(values), list(values.values())]]
        whole = Record(0, "full", course.sample.at_s, {"groups": groups})
        course.unsampled.insert(0, whole)
