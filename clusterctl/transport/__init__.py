"""How we reach a node.  Implementations: ssh, local, replay; wire is what they all speak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from clusterctl.model import Answer, Kind, Node, Question, Trouble


class TransportError(Exception):
    """No more answers will come.  The message is for the operator; the kind is for the code."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Shell(Protocol):
    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Put all questions at once; answers come in the order in which the node finishes them.

        Called once per shell.  Raises TransportError when the conversation breaks or the node's
        deadline passes; answers already given stand.
        """
        ...


class Transport(Protocol):
    def open(self, node: Node) -> AbstractContextManager[Shell]:
        """Connect.  Raises TransportError."""
        ...

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        """Say early which nodes are not worth opening, in the order in which that is known.

        Every node comes out once: with None if it may be opened, or cannot be told without.
        """
        ...
