"""A run again without its nodes: record what any transport heard, and hear it again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Literal

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Shell, Transport, TransportError

NOT_RECORDED = "not in the recording"


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing that came from a node, by name: an answer, or why no more of them came.

    `point`: when the trouble was met.  `visit`: the how-manieth opening of the node it was, from 0.
    """

    node: str
    answer: Answer | None = None
    trouble: Trouble | None = None
    point: Literal["knock", "open", "ask"] = "ask"
    visit: int = 0


Sink = Callable[[Heard], None]


def line(heard: Heard) -> str:
    """One line of JSON, all ASCII, without the line's end; any text survives."""
    answer, trouble = heard.answer, heard.trouble
    fields = {
        "node": heard.node,
        # Not asdict: it copies every text first.
        "answer": answer and {name: getattr(answer, name) for name in Answer.__slots__},
        "trouble": trouble and {name: getattr(trouble, name) for name in Trouble.__slots__},
        "point": heard.point,
        "visit": heard.visit,
    }
    return json.dumps(fields)


def heard(line: str) -> Heard:
    """The inverse of `line`.  Raises ValueError, KeyError or TypeError for other text."""
    fields = json.loads(line)
    if answer := fields["answer"]:
        fields["answer"] = Answer(**answer)
    if trouble := fields["trouble"]:
        fields["trouble"] = Trouble(Kind(trouble["kind"]), trouble["detail"], trouble["part"])
    return Heard(**fields)


class Recording:
    """Another transport, with all that it says told to `sink` as well, from many threads."""

    def __init__(self, transport: Transport, sink: Sink) -> None:
        self.transport = transport
        self.sink = sink
        self.visits: defaultdict[str, Iterator[int]] = defaultdict(count)
        self.counting = Lock()

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        with self.counting:
            visit = next(self.visits[node.name])
        with ExitStack() as stack:
            try:
                shell = stack.enter_context(self.transport.open(node))
            except TransportError as error:
                self.sink(Heard(node.name, None, Trouble(error.kind, str(error)), "open", visit))
                raise
            yield RecordingShell(shell, node.name, visit, self.sink)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node, trouble in self.transport.knock(nodes):
            if trouble:
                self.sink(Heard(node.name, None, trouble, "knock"))
            yield node, trouble


@dataclass(frozen=True, slots=True)
class RecordingShell:
    shell: Shell
    node: str
    visit: int
    sink: Sink

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        try:
            for answer in self.shell.ask(questions):
                self.sink(Heard(self.node, answer, visit=self.visit))
                yield answer
        except TransportError as error:
            self.sink(Heard(self.node, None, Trouble(error.kind, str(error)), "ask", self.visit))
            raise


class Replay:
    """A transport that knows nothing but what was heard.

    The nth opening of a node gives what its nth visit gave, and the last one's again after that.
    Where a conversation broke, it breaks again after the same answers; a question never heard
    stays unanswered.  `stopped`: why the rest was not heard, where the run did not come to its end.
    """

    def __init__(self, heard: Iterable[Heard], stopped: str = "") -> None:
        self.stopped = stopped
        self.knocked: dict[str, Trouble] = {}
        self.visits: defaultdict[str, dict[int, list[Heard]]] = defaultdict(dict)
        self.openings: defaultdict[str, Iterator[int]] = defaultdict(count)
        self.counting = Lock()
        for one in heard:
            if one.point == "knock" and one.trouble:
                self.knocked[one.node] = one.trouble
            else:
                self.visits[one.node].setdefault(one.visit, []).append(one)

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        with self.counting:
            opening = next(self.openings[node.name])
        visits = list(self.visits.get(node.name, {}).values())
        if not visits:
            silence = Trouble(Kind.MISSING, self.stopped or NOT_RECORDED)
            trouble = self.knocked.get(node.name, silence)
            raise TransportError(trouble.kind, trouble.detail)
        visit = visits[min(opening, len(visits) - 1)]
        for one in visit:
            if one.point == "open" and one.trouble:
                raise TransportError(one.trouble.kind, one.trouble.detail)
        yield ReplayShell(tuple(visit), self.stopped)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            yield node, self.knocked.get(node.name)


@dataclass(frozen=True, slots=True)
class ReplayShell:
    heard: tuple[Heard, ...]
    stopped: str

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        asked = {question.name for question in questions}
        for one in self.heard:
            if one.trouble:
                raise TransportError(one.trouble.kind, one.trouble.detail)
            if one.answer and one.answer.name in asked:
                yield one.answer
        if self.stopped and not asked <= {one.answer.name for one in self.heard if one.answer}:
            raise TransportError(Kind.MISSING, self.stopped)
