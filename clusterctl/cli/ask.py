"""One command of the operator's, put to every node as one question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from clusterctl.cli import world as ambient
from clusterctl.cli.world import Flags
from clusterctl.model import Answer, Kind, Node, Playbook, Question, Trouble

SLACK_S = 20.0  # for the node to connect, and to stop what passed its deadline


@dataclass(frozen=True, slots=True)
class Command:
    """`words` as given after `--`; one word with blanks is the operator's own shell line."""

    words: Sequence[str]
    timeout_s: float

    def question(self) -> Question:
        argv = tuple(self.words)
        if len(argv) == 1:
            argv = ("sh", "-c", argv[0])
        return Question("exec", argv, timeout_s=self.timeout_s, without_python=argv)


def ask(
    command: Command, flags: Flags, closing: ExitStack
) -> Iterator[tuple[str, Answer | Trouble]]:
    """(node, what it said or why it said nothing), in the order in which they finish."""
    from clusterctl.fanout import each
    from clusterctl.transport import TransportError

    ambient.logs()
    book = ambient.paced(Playbook("exec"), flags.at_once)
    chosen = ambient.targets(flags)
    connect = ambient.reach(book.pace, flags, nice=0, closing=closing)
    transport = connect(command.timeout_s + SLACK_S)
    question = command.question()

    def visit(knocked: tuple[Node, Trouble | None]) -> tuple[str, Answer | Trouble]:
        node, trouble = knocked
        if trouble is not None:
            return node.name, trouble
        try:
            with transport.open(node) as shell:
                for answer in shell.ask([question]):
                    return node.name, answer
        except TransportError as error:
            return node.name, Trouble(error.kind, str(error))
        return node.name, Trouble(Kind.CUT, "the node ended the conversation without an answer")

    return each(transport.knock(chosen), visit, at_once=book.pace.at_once)
