"""One request to a node and its answers, as bytes: what ssh and local both speak.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Answer, Kind, Question
from clusterctl.transport import TransportError


class Conversation:
    """One node's side of one request, without I/O: bytes in; bytes to send and answers out.

    Run `command`; feed its stdout to `feed` and write what `to_send` gives to its stdin, until
    `done`.  Keep stdin open until then: to the node its end means that we are gone.
    """

    command: str  # the one exec line; means the same to sh, bash, csh and fish
    done: bool  # the end mark was seen and its count was right

    def __init__(
        self, questions: Sequence[Question], *, node_s: float, become: bool = False, nice: int = 10
    ) -> None:
        self.questions = tuple(questions)
        self.node_s = node_s
        self.become = become
        self.nice = nice
        self.command = "true"
        self.done = False

    def feed(self, data: bytes) -> Iterator[Answer]:
        """The answers that `data`, the node's next stdout bytes, completes.  Exhaust it.

        Raises TransportError when the stream is not ours; answers given before that stand.
        """
        raise NotImplementedError

    def to_send(self) -> bytes:
        """What must now go to the node's stdin; empty: nothing.  Poll at the start and after feed."""
        return b""

    def closed(self, exit_code: int | None, stderr: bytes) -> TransportError:
        """What it means that the stream ended before `done`."""
        return TransportError(Kind.CUT, f"ended early, exit {exit_code}, {len(stderr)} bytes")
