"""One question to each node at once, outside of a run: what it said, or why it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clusterctl.fanout import each
from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.observe import last_words
from clusterctl.transport import Transport, TransportError

Reach = Callable[[float], Transport]
SLACK_S = 20.0


def put(
    questions: Mapping[str, Question], nodes: Sequence[Node], reach: Reach, *, at_once: int
) -> dict[str, Answer | Trouble]:
    """By node.  What was said before a deadline is an answer: `ended` tells that it is not all."""
    longest = max((one.timeout_s for one in questions.values()), default=0.0)
    transport = reach(longest + SLACK_S)

    def visit(knocked: tuple[Node, Trouble | None]) -> tuple[str, Answer | Trouble]:
        node, trouble = knocked
        return node.name, trouble or one_answer(node, questions[node.name], transport)

    return dict(each(transport.knock(nodes), visit, at_once=at_once))


def one_answer(node: Node, asked: Question, transport: Transport) -> Answer | Trouble:
    try:
        with transport.open(node) as shell:
            for answer in shell.ask([asked]):
                if answer.exit_code is None and not answer.stdout:
                    return Trouble(Kind.TIMEOUT, f"no answer in {answer.seconds:.0f} s")
                return answer
    except TransportError as error:
        return Trouble(error.kind, str(error))
    return Trouble(Kind.CUT, "the node ended the conversation without an answer")


def ended(answer: Answer) -> Trouble | None:
    """Why an answer may not be all of it; None: it is."""
    if answer.exit_code is None:
        return Trouble(Kind.TIMEOUT, f"it did not end within {answer.seconds:.0f} s")
    if answer.exit_code != 0:
        return Trouble(Kind.EXIT, last_words(answer) or f"exit {answer.exit_code}")
    return None
