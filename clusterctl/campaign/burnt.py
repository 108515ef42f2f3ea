"""How long a node was burnt, by its journal."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field

from clusterctl.campaign.journal import Corrupt, Record, Stretch

GAP = 3.0  # samples that may be late, in intervals, until the time between them is nobody's


def burnt_s(found: Iterable[Record | Corrupt]) -> float:
    """Seconds in which a step that loads ran and was sampled; see `burnt`."""
    return sum(burnt(found).values())


def burnt(found: Iterable[Record | Corrupt]) -> dict[str, float]:
    """Step name -> seconds in which it ran, was a load, and was sampled, over all boots.

    Time counts between two samples of one supervisor at most GAP intervals apart, and only what
    of it lies inside a step.  What came after the last sample before a kill or reboot, and what
    nobody can read any more, does not count.
    """
    burning = Burning()
    for one in found:
        burning.learn(one)
    return burning.total


@dataclass(slots=True)
class Burning:
    """What `burnt` counts, record by record.  `pending`: since the last sample.

    `due`: samples that should have been taken under load; `got`: those that were.
    """

    due: float = 0.0
    got: int = 0
    total: dict[str, float] = field(default_factory=dict)
    pending: dict[str, float] = field(default_factory=dict)
    sampled_s: float | None = None
    running: str | None = None
    since_s: float = 0.0
    every_s: float = 10.0

    def learn(self, one: Record | Corrupt | Stretch) -> None:
        match one:
            case Stretch(_, times):
                self.row(times)
            case Record(_, "full" | "sample", at_s):
                self.sampled(at_s)
            case Record(_, "begin" | "end" as kind, at_s, cells):
                self.ran(at_s)
                loads = kind == "begin" and cells.get("load", True)
                self.running = str(cells.get("name", "")) if loads else None
                self.since_s = at_s
            case Corrupt() | Record(_, "start" | "orphaned"):
                self.pending, self.sampled_s, self.running = {}, None, None
                if isinstance(one, Record) and one.kind == "start":
                    self.every_s = float(one.cells.get("every_s", self.every_s))

    def row(self, times: list[float]) -> None:
        """Samples with nothing between them; where none is missing, counted as one span."""
        limit_s = GAP * self.every_s
        pauses = list(map(operator.sub, times[1:], times))
        if pauses and not 0 <= min(pauses) <= max(pauses) <= limit_s:
            for at_s in times:
                self.sampled(at_s)
            return
        self.sampled(times[0])
        if len(times) == 1:
            return
        if self.running is not None:
            self.got += len(times) - 2  # the first and the last are counted by themselves
        self.sampled_s = times[-1]  # no pause since then
        self.sampled(times[-1])

    def ran(self, at_s: float) -> None:
        if self.running is not None:
            spent_s = max(0.0, at_s - self.since_s)
            self.pending[self.running] = self.pending.get(self.running, 0.0) + spent_s
            self.since_s = at_s
            self.due += spent_s / self.every_s

    def sampled(self, at_s: float) -> None:
        self.ran(at_s)
        self.got += self.running is not None
        if self.sampled_s is not None and at_s - self.sampled_s <= GAP * self.every_s:
            for name, seconds in self.pending.items():
                self.total[name] = self.total.get(name, 0.0) + seconds
        self.pending, self.sampled_s = {}, at_s
