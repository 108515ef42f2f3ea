"""The nouns of acting: a node as its scheduler has it, who should go and why, what was done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from clusterctl.model import Finding, Trouble
from clusterctl.spelling import visible

PREFIX = "clusterctl "
BY_HAND = "by-hand"  # in place of a run: an operator's word, which no check gave
LONGEST_REASON = 160  # characters; squeue and sinfo cut earlier than that
UNFIT = re.compile(r"[^ \w.,:;/+%()<>~#*@≥≤°·-]")  # what tools take apart again, and control
SPELT = str.maketrans({"=": ":", '"': "'", "\u2013": "-", "\u2014": "-", "\u2026": "..."})


# The label of an inventory that holds a node's name there, where it has another.
LABELS = {"slurm": "slurm_node", "kubernetes": "k8s_node", "hook": "hook_node"}


def moment(text: str) -> datetime:
    """UTC where it does not say.  Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Outcome(StrEnum):
    """What became of one action.  BEGUN stands in the journal until another word follows."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"  # nothing was changed, and we know that
    CHANGED = "changed"  # somebody else changed the node first; it was left as it is
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class State:
    """A node as its scheduler has it now.

    `held`: that somebody took it out, in the scheduler's words.  `usable`: jobs start there now.
    `reason`: without what the scheduler adds to it.  `pools`: partitions, or whatever else may not
    be emptied.
    `mark`: what changes when anybody changes the node, where there is such a thing.
    """

    called: str  # by the scheduler
    words: str  # IDLE+DRAIN
    held: tuple[str, ...] = ()
    reason: str = ""
    by: str = ""  # who set the reason
    since: datetime | None = None
    pools: tuple[str, ...] = ()
    mark: str = ""
    usable: bool = True
    spare: bool = False  # no job runs there in any case (a control plane)


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the scheduler knows.  `troubles`: what of it could not be read."""

    states: Mapping[str, State]
    troubles: Sequence[Trouble] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A node that should go, and the finding that says so; None: an operator says so.

    `fault`: what is equal where the same thing is wrong with several; `beside`: of all that is as
    wrong with it.  `rank`: how grave.
    """

    node: str
    called: str
    run: str
    check: str
    short: str
    finding: Finding | None = None
    fault: str = ""
    beside: frozenset[str] = frozenset()
    rank: int = 0

    @property
    def reason(self) -> str:
        return reason(self.run, self.check, self.short)


def reason(run: str, check: str, short: str) -> str:
    """`clusterctl RUN CHECK: short`, in letters that every scheduler keeps as they are."""
    text = UNFIT.sub("?", visible(f"{run} {check}: {short}", 1000).translate(SPELT))
    return (PREFIX + " ".join(text.split()))[:LONGEST_REASON].strip()


@dataclass(frozen=True, slots=True)
class Action:
    """One change of one node, as the journal has it; `before` and `after` are spelt states."""

    id: str
    verb: str  # drain, undrain
    by: str  # slurm, kubernetes, hook
    node: str
    called: str
    at: datetime
    who: str
    run: str
    check: str
    reason: str
    before: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    undoes: str = ""
    where: str = ""  # from where the scheduler was asked
    outcome: Outcome = Outcome.BEGUN
    detail: str = ""
    after: Mapping[str, Any] = field(default_factory=dict)
    ended: datetime | None = None

    @property
    def words(self) -> str:
        """Who did what and why; and what became of it, where it was not done."""
        ended = "" if self.outcome is Outcome.DONE else f" ({self.outcome})"
        return f"{self.verb} by {self.who}: {self.reason}{ended}"

    @property
    def undo(self) -> str:
        return f"clusterctl undrain --undo {self.id} --yes"


@dataclass(frozen=True, slots=True)
class Told:
    """What a hand did.  `after`: the node as it was seen then; None: it was not.

    `silent`: the scheduler does not answer, so the next change would not fare better.
    """

    outcome: Outcome
    detail: str = ""
    after: State | None = None
    silent: bool = False


class Blind(Exception):
    """The scheduler could not be asked at all.  The message is for the operator."""


class Hands(Protocol):
    """One scheduler.  Each change re-reads the node first and leaves it where it was changed.

    `label`: of the inventory, with the scheduler's name of a node.  `sees`: `look` asks the
    scheduler itself, so that what nobody heard the end of can be told from it.
    """

    @property
    def by(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def sees(self) -> bool: ...

    def look(self) -> Picture:
        """Raises Blind."""
        ...

    def says(self, verb: str, state: State, reason: str) -> str:
        """What `change` would do, word for word."""
        ...

    def change(self, verb: str, state: State, action: Action) -> Told:
        """`verb`: drain or undrain.  `state`: as it was last seen.  Never raises."""
        ...


def spelt(state: State | None) -> dict[str, Any]:
    """For the journal."""
    if state is None:
        return {}
    return {
        "words": state.words,
        "held": list(state.held),
        "reason": state.reason,
        "by": state.by,
        "since": state.since.isoformat() if state.since else "",
        "pools": list(state.pools),
    }
