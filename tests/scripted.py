"""A transport that answers from a dict, and facts to answer with: small, real, no patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from clusterctl.model import (
    Accelerator,
    Answer,
    Fact,
    Kind,
    Node,
    PcieDevice,
    Port,
    Probe,
    Question,
    Trouble,
)
from clusterctl.transport import TransportError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Scripted:
    """node -> question -> answer.  A node not in it is off; `breaks_after` answers it is cut."""

    script: Mapping[str, Mapping[str, Answer]]
    breaks_after: int = 99

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            yield node, None

    @contextmanager
    def open(self, node: Node) -> Iterator[Talk]:
        if node.name not in self.script:
            raise TransportError(Kind.UNREACHABLE, f"{node.host}: no route to host")
        yield Talk(self.script[node.name], self.breaks_after)


@dataclass(frozen=True)
class Talk:
    answers: Mapping[str, Answer]
    breaks_after: int

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for count, question in enumerate(questions):
            if count == self.breaks_after:
                raise TransportError(Kind.CUT, "connection reset")
            if question.name in self.answers:
                yield self.answers[question.name]


def words(stdout: str) -> Iterator[Fact | Trouble]:
    """A toy tool's output: `gpu3 41`, `port mlx5_0/1 active`, `card 0000:1b:00.0 10de`, `bad`."""
    for line in filter(None, stdout.split("\n")):
        match line.split():
            case ["port", part, state]:
                yield Port(part, part.split("/")[0], state)
            case ["card", part, vendor]:
                yield PcieDevice(part, "accelerator", vendor, "2330", "030200")
            case [part, temp]:
                yield Accelerator(part, model="toy", temp_c=float(temp))
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row: {line!r}")


def probe(name: str, *yields: type[Fact], **how: object) -> Probe:
    return Probe(Question(name, ("true",)), words, yields or (Accelerator,), "a toy", **how)  # type: ignore[arg-type]


def said(name: str, stdout: str = "", exit_code: int | None = 0, **how: object) -> Answer:
    return Answer(name, exit_code, stdout, str(how.pop("stderr", "")), 0.1, **how)  # type: ignore[arg-type]


def answers(*given: Answer) -> dict[str, Answer]:
    return {answer.name: answer for answer in given}


def nodes(count: int, **labels: str) -> tuple[Node, ...]:
    return tuple(Node(f"n{i:03}", f"10.0.0.{i}", "root", labels=labels) for i in range(count))
