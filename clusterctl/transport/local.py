"""The machine we are on as a node, asked in the very way any other is."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from clusterctl.model import Answer, Kind, Node, Question, Trouble
from clusterctl.transport import Shell, TransportError
from clusterctl.transport.killed import kill_group
from clusterctl.transport.wire import PYTHONS, Conversation

STDERR_BYTES = READ_BYTES = 1 << 16
LEAVE_S = 4.0  # the runner gives its tools one second after SIGTERM and one after SIGKILL


@dataclass(frozen=True, slots=True)
class Local:
    """Every node is this machine; address and user of the node do not matter."""

    node_s: float
    nice: int = 10
    pythons: str = PYTHONS  # where to look for an interpreter, best first; empty: use sh

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        shell = LocalShell(self, become=node.become)
        try:
            yield shell
        finally:
            shell.close()

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        for node in nodes:
            yield node, None


class LocalShell:
    """Owns one process of this machine and, through it, all that it starts."""

    def __init__(self, local: Local, *, become: bool) -> None:
        self.local = local
        self.become = become
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        deadline = time.monotonic() + self.local.node_s
        talk = Conversation(
            questions,
            node_s=self.local.node_s,
            become=self.become,
            nice=self.local.nice,
            pythons=self.local.pythons,
        )
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", talk.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        yield from converse(self.process, talk, deadline)

    def close(self) -> None:
        """The end of stdin makes the runner clean up; what does not leave by itself is killed."""
        if self.process is None:
            return
        process, self.process = self.process, None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            kill_group(process, LEAVE_S)
        if process.stderr is not None:
            process.stderr.close()


def converse(
    process: subprocess.Popen[bytes], talk: Conversation, deadline: float
) -> Iterator[Answer]:
    """Carries bytes both ways.  Raises TransportError."""
    if not (process.stdin and process.stdout and process.stderr):
        raise ValueError("a process without pipes cannot be talked to")
    outgoing = b""
    stderr = bytearray()
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        ready.register(process.stderr, selectors.EVENT_READ)
        while not talk.done:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TransportError(Kind.TIMEOUT, "the node's deadline passed")
            able = {key.fileobj for key, _ in ready.select(left)}
            if process.stdin in able:
                outgoing = push(process.stdin.fileno(), outgoing)
                if not outgoing:
                    ready.unregister(process.stdin)
            if process.stderr in able:
                collect(process.stderr, stderr, ready)
            if process.stdout in able:
                chunk = os.read(process.stdout.fileno(), READ_BYTES)
                if not chunk:
                    raise ended(process, talk, stderr)
                yield from talk.feed(chunk)
                more = talk.to_send()
                if more and not outgoing:
                    ready.register(process.stdin, selectors.EVENT_WRITE)
                outgoing += more


def push(pipe: int, outgoing: bytes) -> bytes:
    """What is still to be written.  Nothing when the reader is gone: stdout will tell why."""
    try:
        return outgoing[os.write(pipe, outgoing) :]
    except BrokenPipeError:
        return b""


def collect(pipe: IO[bytes], into: bytearray, ready: selectors.BaseSelector) -> None:
    """Until its end.  Past its limit, what comes is read and forgotten."""
    chunk = os.read(pipe.fileno(), READ_BYTES)
    into += chunk[: STDERR_BYTES - len(into)]
    if not chunk:
        ready.unregister(pipe)


def ended(
    process: subprocess.Popen[bytes], talk: Conversation, stderr: bytearray
) -> TransportError:
    """The process has closed its stdout too early."""
    try:
        code = process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        code = None
    if process.stderr is not None:
        os.set_blocking(process.stderr.fileno(), False)
        stderr += process.stderr.read(STDERR_BYTES) or b""
    return talk.closed(code, bytes(stderr))
