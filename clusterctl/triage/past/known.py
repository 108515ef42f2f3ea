"""What earlier runs know of suspects' nodes, in nouns.  Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clusterctl.memory.lemon import Score
from clusterctl.memory.story import Trace


@dataclass(frozen=True, slots=True)
class Shared:
    """What a node has in common with `others`: a leaf, a rack, in words.

    `suspects` and `ill` are of the others: those suspected, too, and what failed on which of them
    on the newest night.
    """

    what: str
    others: tuple[str, ...]
    suspects: tuple[str, ...] = ()
    ill: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Lemon:
    """`place` 0: the node never had a fault of its own, nor a repair; of so many that had."""

    place: int
    of: int
    score: Score | None


@dataclass(frozen=True, slots=True)
class NodePast:
    """`nights` looked at it; the newest of them is `newest`, `run`.

    `healthy`: the last night on which it answered and nothing failed, `healthy_run`, after which it
    was looked at `since` times; None: there is none.  `changed`: between that night and the newest,
    in words; None: it was not looked up.  `findings`: of late, those that are open first;
    `acked`: of those, who knows of them.  `done`: to the node since it was last healthy.
    """

    node: str
    nights: int
    newest: datetime
    run: str
    healthy: datetime | None = None
    healthy_run: str = ""
    since: int = 0
    changed: tuple[str, ...] | None = None
    findings: tuple[Trace, ...] = ()
    acked: tuple[tuple[Trace, str], ...] = ()
    done: tuple[str, ...] = ()
    lemon: Lemon | None = None
    shares: tuple[Shared, ...] = ()

    @property
    def open(self) -> tuple[Trace, ...]:
        return tuple(one for one in self.findings if is_open(one))


@dataclass(frozen=True, slots=True)
class Past:
    """`where`: the runs' folder; `nights`, from `first` on, were looked through.

    `notes`: what was not looked up, and why, a sentence each.  `prior`: what the past changed in
    the order of suspects; empty: nothing.
    """

    where: str
    nights: int = 0
    first: datetime | None = None
    nodes: tuple[NodePast, ...] = ()
    notes: tuple[str, ...] = ()
    prior: str = ""


def is_open(one: Trace) -> bool:
    return one.now not in {"pass", "skip"}
