"""Nodes that have a BMC: asked over Redfish while the node is asked over SSH, or instead of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from clusterctl.model import Answer, Node, Question, Trouble
from clusterctl.transport import Shell, Transport, TransportError

NAME = "redfish"
NONE = json.dumps({"redfish": 1, "resources": {}, "failed": {}, "none": "no bmc in the inventory"})


@dataclass(frozen=True, slots=True)
class Access:
    """`verify`: the BMC's certificate is checked against the system's authorities, or this file."""

    url: str
    user: str
    password: str = field(repr=False)
    verify: bool | str = True


AccessOf = Callable[[Node], Access | None]
Ask = Callable[[Access], Answer]


@dataclass(frozen=True, slots=True)
class WithBmc:
    """Another transport, and beside it each node's BMC.

    A node that the other transport cannot reach is opened all the same: its BMC may know why.
    """

    inner: Transport
    access: AccessOf
    ask: Ask
    lost: dict[str, Trouble] = field(default_factory=dict)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node, trouble in self.inner.knock(nodes):
            if trouble and self.access(node):
                self.lost[node.name] = trouble
                yield node, None
            else:
                yield node, trouble

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        yield Both(self, node)


@dataclass(frozen=True, slots=True)
class Both:
    bmcs: WithBmc
    node: Node

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        asked = any(question.name == NAME for question in questions)
        access = self.bmcs.access(self.node) if asked else None
        rest = [question for question in questions if question.name != NAME]
        broken: TransportError | None = None
        with ThreadPoolExecutor(1, "bmc") as pool:
            future: Future[Answer] | None = pool.submit(self.bmcs.ask, access) if access else None
            try:
                yield from self.over_ssh(rest)
            except TransportError as error:
                broken = error
            if future is not None:
                yield future.result()
            elif asked and broken is None:  # of a node that is lost nothing is known
                yield Answer(NAME, 0, NONE, "", 0.0)
        if broken is not None:
            raise broken

    def over_ssh(self, questions: Sequence[Question]) -> Iterator[Answer]:
        if trouble := self.bmcs.lost.get(self.node.name):
            raise TransportError(trouble.kind, trouble.detail)
        with self.bmcs.inner.open(self.node) as shell:
            yield from shell.ask(questions)
