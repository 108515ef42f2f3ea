"""A transport whose conversations with nodes stay open, so that each round costs no login."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from clusterctl.model import Node, Trouble
from clusterctl.transport import Shell, Transport, TransportError


@dataclass(frozen=True, slots=True)
class Visits:
    """The held conversations, each visit with a deadline of its own."""

    held: Held
    node_s: float

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        late = threading.Timer(self.node_s, self.held.drop, [node.name])
        late.daemon = True
        shell = self.held.shell(node)
        late.start()
        try:
            yield shell
        except TransportError:
            self.held.drop(node.name)
            raise
        finally:
            late.cancel()

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        """Who is held is not knocked at."""
        away = []
        for node in nodes:
            if node.name in self.held.shells:
                yield node, None
            else:
                away.append(node)
        yield from self.held.transport.knock(away)


class Held:
    """Owns the shells it opened; `close` ends them all.

    One visit of a node at a time.  A shell whose conversation broke, or whose visit's deadline
    passed, is dropped, and the next visit opens another.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.lock = threading.Lock()
        self.shells: dict[str, tuple[Shell, ExitStack]] = {}

    def within(self, node_s: float) -> Visits:
        return Visits(self, node_s)

    def close(self) -> None:
        for name in tuple(self.shells):
            self.drop(name)

    def shell(self, node: Node) -> Shell:
        with self.lock:
            held = self.shells.get(node.name)
        if held is not None:
            return held[0]
        with ExitStack() as opening:
            shell = opening.enter_context(self.transport.open(node))
            with self.lock:
                self.shells[node.name] = shell, opening.pop_all()
        return shell

    def drop(self, name: str) -> None:
        with self.lock:
            held = self.shells.pop(name, None)
        if held is not None:
            held[1].close()
