"""A transport that ends at a moment: what is not asked by then is left, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Shell, Transport, TransportError

LEAST_S = 1.0  # nobody connects and answers in less
UNASKED = "not asked: the time budget of the run was spent"
CUT_SHORT = "the time budget of the run ended; what it answered until then stands"


@dataclass(frozen=True, slots=True)
class Budgeted:
    """`whole`, for as many seconds as `left_s` still says.

    `node_s` is its deadline of a node; `connect` makes one like it with another, where the budget
    leaves less.
    """

    whole: Transport
    node_s: float
    connect: Callable[[float], Transport]
    left_s: Callable[[], float]

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        left_s = self.left_s()
        if left_s < LEAST_S:
            raise TransportError(Kind.MISSING, UNASKED)
        if left_s >= self.node_s:
            with self.whole.open(node) as shell:
                yield shell
            return
        try:
            with self.connect(left_s).open(node) as shell:
                yield BudgetedShell(shell, self.left_s)
        except TransportError as error:
            raise shortened(error, self.left_s()) from error

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        return self.whole.knock(nodes)


@dataclass(frozen=True, slots=True)
class BudgetedShell:
    shell: Shell
    left_s: Callable[[], float]

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        try:
            yield from self.shell.ask(questions)
        except TransportError as error:
            raise shortened(error, self.left_s()) from error


def shortened(error: TransportError, left_s: float) -> TransportError:
    """A deadline that passes while there is time is the node's own: its sshd hangs."""
    ours = error.kind is Kind.TIMEOUT and left_s < LEAST_S
    return TransportError(Kind.MISSING, CUT_SHORT) if ours else error
