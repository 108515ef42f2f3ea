"""What a node's journal says of its campaign, learned as the bytes come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from clusterctl.campaign import journal
from clusterctl.campaign.burnt import Burning
from clusterctl.campaign.journal import (
    Corrupt,
    Names,
    Record,
    Sample,
    Step,
    Stretch,
    Value,
    decoded,
    fitting,
    laid_out,
)
from clusterctl.campaign.watched import Watched

RESULTS = frozenset({"exit", "timeout", "flood"})  # of a step that ran as it was asked to


@dataclass(slots=True)
class Sampled:
    """The newest sample.  `names` None: deltas would add up to nonsense until a full one.

    `held`: whose `values` those are, as of `at_s`; `untold`: deltas since then, read when somebody
    asks.
    """

    count: int = 0
    names: Names | None = None
    held: Names | None = None
    values: list[Value] = field(default_factory=list)
    at_s: float = 0.0
    untold: list[Sequence[bytes]] = field(default_factory=list)
    until_s: float = 0.0

    def learn(self, one: Record | Corrupt | Stretch) -> None:
        if isinstance(one, Corrupt) or (isinstance(one, Record) and one.kind == "start"):
            self.settle()
            self.names = None
        elif isinstance(one, Stretch) and self.names:
            self.untold.append(one.deltas)
            self.until_s = one.times[-1]
            self.count += len(one.deltas)

    def whole(self, at_s: float, names: Names, values: list[Value]) -> None:
        """A full sample; nobody needs the deltas before it any more."""
        self.untold = []
        self.names = names if values else None
        if values:
            self.held, self.values, self.at_s = names, values, at_s
            self.count += 1

    def settle(self) -> None:
        """Bring `values` up to date.  A delta that does not fit leaves nothing to be trusted."""
        if self.held is None or not self.untold:
            return
        for text in chain.from_iterable(self.untold):
            delta = fitting(decoded(text), len(self.held))
            if delta is None:
                self.held, self.untold = None, []
                return
            for index, value in zip(delta[::2], delta[1::2], strict=True):
                self.values[index] = value
        self.at_s, self.untold = self.until_s, []

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """(name, value) as of the newest sample; none: there is none to be trusted."""
        self.settle()
        return zip(self.held.every, self.values, strict=True) if self.held else iter(())


@dataclass(slots=True)
class Course:
    """A fold: equal bytes, however they were cut, give an equal course.

    `gone`: steps that were accepted and will never end as asked.  `soaking`: the id of the soak
    that goes on by itself; empty: none does.  `left_out`: files that were too many to be sampled.
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
    left_out: int = 0
    burning: Burning = field(default_factory=Burning)
    sampled: Sampled = field(default_factory=Sampled)
    watched: Watched = field(default_factory=Watched)
    begun: Record | None = None

    @property
    def burnt_s(self) -> float:
        return sum(self.burning.total.values())

    @property
    def sample(self) -> Sample | None:
        """The newest."""
        values = dict(self.sampled.pairs())
        return Sample(self.sampled.at_s, values) if values else None

    @property
    def samples(self) -> int:
        return self.sampled.count


def learn(course: Course, data: bytes) -> None:
    """`data`: whole lines, the next ones of the journal."""
    course.size += len(data)
    for one in journal.scan(data, after=course.last):
        course.burning.learn(one)
        match one:
            case Record(_, "full", at_s, cells):
                names, values = laid_out(cells.get("groups"), course.watched.known)
                course.watched.whole(names, values)
                course.sampled.whole(at_s, names, values)
            case _:
                course.sampled.learn(one)
                course.watched.learn(one)
        match one:
            case Corrupt():
                course.corrupt += 1
            case Stretch():
                course.last = one.sequence + len(one.times) - 1
            case Record():
                course.last = one.sequence
                hear(course, one)


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
        case "full":
            course.left_out = max(course.left_out, cells.get("left_out", 0))
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
