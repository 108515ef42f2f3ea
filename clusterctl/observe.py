"""Asking one node everything in one conversation: always exactly one observation per probe.

The two broad excepts of the project are here: one for the node, one for the cell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from clusterctl.codec import refused
from clusterctl.model import (
    LEFT_ALONE,
    SPARED,
    WHOLE_NODE,
    Answer,
    Fact,
    Kind,
    Node,
    Observation,
    PcieDevice,
    Probe,
    Trouble,
)
from clusterctl.spelling import visible
from clusterctl.transport import Transport, TransportError

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
T = TypeVar("T")

HALF = frozenset({Kind.CUT, Kind.UNREADABLE})
# With no such card in the node these only say what the PCI list says already.
EXPLAINED_BY_NO_CARD = frozenset({Kind.MISSING, Kind.EXIT, Kind.UNREADABLE})


def observe(
    node: Node, probes: Sequence[Probe], transport: Transport, clock: Clock
) -> list[Observation]:
    answers: dict[str, Answer] = {}
    silence = Trouble(Kind.CUT, "the node ended the conversation without an answer", WHOLE_NODE)
    try:
        with transport.open(node) as shell:
            for answer in shell.ask([probe.question for probe in probes]):
                answers[answer.name] = answer
    except Exception as error:  # noqa: BLE001 - costs this node, not the run; answers given stand
        silence = explain(error, WHOLE_NODE)
    heard = [hear(node, probe, answers.get(probe.name), silence, clock()) for probe in probes]
    return settle(heard, probes)


def unseen(
    node: Node, probes: Sequence[Probe], trouble: Trouble, clock: Clock
) -> list[Observation]:
    """The observations of a node that was not worth opening."""
    whole = Trouble(trouble.kind, trouble.detail, WHOLE_NODE)
    return [Observation(node.name, probe.name, clock(), troubles=(whole,)) for probe in probes]


def hear(
    node: Node, probe: Probe, answer: Answer | None, silence: Trouble, at: datetime
) -> Observation:
    if answer is None:
        return Observation(node.name, probe.name, at, troubles=(silence,))
    if answer.exit_code == SPARED:
        return Observation(node.name, probe.name, at, skip=LEFT_ALONE)
    if probe.optional and is_absent(answer):
        return Observation(
            node.name, probe.name, at, skip=f"{probe.tool or probe.name} is not installed"
        )
    found: list[Fact | Trouble] = [*complaints(answer, probe)]
    if answer.stdout or not found:  # a tool that failed and printed nothing is one trouble, not two
        stopped = answer.truncated or answer.exit_code is None
        found += [
            item
            for item in attempt(probe.parse(answer.stdout))
            # That half an answer cannot be read whole was said by how it ended.
            if not (stopped and isinstance(item, Trouble) and item.kind in HALF and not item.part)
        ]
    found = [item if isinstance(item, Trouble) else kept(item) for item in found]
    facts = tuple(item for item in found if not isinstance(item, Trouble))
    troubles = tuple(item for item in found if isinstance(item, Trouble))
    return Observation(node.name, probe.name, at, facts, troubles)


def kept(fact: Fact) -> Fact | Trouble:
    """A value that the run's tables cannot hold costs its fact, and not the run."""
    why = refused(fact)
    if not why:
        return fact
    part = visible(str(getattr(fact, "part", "")), 80)
    return Trouble(Kind.UNREADABLE, f"cannot be kept: {why}", part)


def attempt(items: Iterable[T]) -> list[T | Trouble]:
    """Everything that `items` yields; where our code breaks, what it yielded and a bug Trouble."""
    found: list[T | Trouble] = []
    try:
        for item in items:
            found.append(item)  # noqa: PERF402 - extend would lose what came before a break
    except Exception as error:  # noqa: BLE001 - costs this cell, not the node
        found.append(explain(error, ""))
    return found


def is_absent(answer: Answer) -> bool:
    """The tool is not there; shells and our runner say 127 for that."""
    return answer.exit_code == 127


def complaints(answer: Answer, probe: Probe) -> Iterator[Trouble]:
    """A failed command keeps the facts it did print, but is never taken as success."""
    if answer.truncated:  # we stopped it, so its end says nothing more
        size = probe.question.cap_bytes
        yield Trouble(Kind.CUT, f"printed more than {size} bytes; the rest was thrown away")
    elif answer.exit_code is None:
        yield Trouble(Kind.TIMEOUT, f"no answer in {answer.seconds:.0f} s; it was stopped")
    elif is_absent(answer):
        yield Trouble(Kind.MISSING, last_words(answer) or "not installed")
    elif answer.exit_code < 0:
        yield Trouble(Kind.EXIT, f"ended by signal {-answer.exit_code}: {last_words(answer)}")
    elif answer.exit_code not in probe.good_exits:
        yield Trouble(Kind.EXIT, f"exit {answer.exit_code}: {last_words(answer)}")


def last_words(answer: Answer) -> str:
    """The last line that the tool, and not a script's own end mark, said."""
    for text in (answer.stderr, answer.stdout):
        lines = [line.strip() for line in text.split("\n")]
        said = [line for line in lines if line and not line.startswith(("==", "end\t"))]
        if said:
            return visible(said[-1], 200)
    return ""


def explain(error: Exception, part: str) -> Trouble:
    if isinstance(error, TransportError):
        return Trouble(error.kind, visible(str(error)), part)
    log.error("a probe, check or transport broke", exc_info=error)
    return Trouble(Kind.BUG, visible(repr(error)), part)


def settle(heard: list[Observation], probes: Sequence[Probe]) -> list[Observation]:
    """The node's own PCI list says which silences mean nothing: no such card, so no such tool."""
    lists = [seen for seen in heard if seen.probe == "pci"]
    if not lists or lists[0].troubles:
        return heard
    cards = [fact for fact in lists[0].facts if isinstance(fact, PcieDevice)]
    return [excuse(seen, probe, cards) for seen, probe in zip(heard, probes, strict=True)]


def excuse(seen: Observation, probe: Probe, cards: Sequence[PcieDevice]) -> Observation:
    wanted = probe.applies
    if seen.facts or not wanted.pci_vendors or any(matches(card, probe) for card in cards):
        return seen
    if {trouble.kind for trouble in seen.troubles} <= EXPLAINED_BY_NO_CARD:
        return Observation(seen.node, seen.probe, seen.at, skip=wanted.why_not)
    return seen


def matches(card: PcieDevice, probe: Probe) -> bool:
    return card.vendor_id in probe.applies.pci_vendors and (
        not probe.applies.kinds or card.kind in probe.applies.kinds
    )
