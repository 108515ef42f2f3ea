"""Nodes that are this very machine go one way, all others another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain

from clusterctl.model import Node, Trouble
from clusterctl.transport import Shell, Transport


@dataclass(frozen=True, slots=True)
class Routed:
    """`here` for nodes of which `is_here` holds, else `there`."""

    here: Transport
    there: Transport
    is_here: Callable[[Node], bool]

    def open(self, node: Node) -> AbstractContextManager[Shell]:
        return (self.here if self.is_here(node) else self.there).open(node)

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        nodes = tuple(nodes)
        return chain(
            self.here.knock([node for node in nodes if self.is_here(node)]),
            self.there.knock([node for node in nodes if not self.is_here(node)]),
        )
