"""Conversations that stay open: one opening a node, whatever the number of rounds."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Shell, TransportError
from clusterctl.transport.held import Held

A, B = Node("a"), Node("b")
FINE, BROKEN, SILENT = Question("fine"), Question("broken"), Question("silent")


class Desk:
    """A node that answers, breaks off, or is silent until it is hung up on."""

    def __init__(self) -> None:
        self.hung_up = threading.Event()

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for question in questions:
            if question == BROKEN:
                raise TransportError(Kind.CUT, "broken off")
            if question == SILENT:
                assert self.hung_up.wait(10)
                raise TransportError(Kind.CUT, "hung up")
            yield Answer(question.name, 0, "", "", 0.0)


class Desks:
    """A transport that counts how often each node was opened and knocked at."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.knocked: list[str] = []

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        self.opened.append(node.name)
        desk = Desk()
        try:
            yield desk
        finally:
            desk.hung_up.set()
            self.closed.append(node.name)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            self.knocked.append(node.name)
            yield node, None


def visit(held: Held, node: Node, question: Question = FINE, node_s: float = 60.0) -> int:
    with held.within(node_s).open(node) as shell:
        return len(list(shell.ask([question])))


def test_a_node_is_opened_once_and_hung_up_on_at_the_end():
    desks = Desks()
    held = Held(desks)

    assert [visit(held, node) for node in (A, B, A, B, A)] == [1] * 5
    assert desks.opened == ["a", "b"]
    assert desks.closed == []
    held.close()
    assert sorted(desks.closed) == ["a", "b"]


def test_who_is_held_is_not_knocked_at():
    desks = Desks()
    held = Held(desks)
    visit(held, A)

    assert sorted(node.name for node, _ in held.within(1.0).knock([A, B])) == ["a", "b"]
    assert desks.knocked == ["b"]


def test_a_conversation_that_broke_is_dropped_and_another_opened():
    desks = Desks()
    held = Held(desks)
    with pytest.raises(TransportError, match="broken off"):
        visit(held, A, BROKEN)

    assert visit(held, A) == 1
    assert desks.opened == ["a", "a"]
    assert desks.closed == ["a"]


def test_a_visit_past_its_deadline_is_hung_up_on():
    desks = Desks()
    with pytest.raises(TransportError, match="hung up"):
        visit(Held(desks), A, SILENT, node_s=0.05)

    assert desks.closed == ["a"]
