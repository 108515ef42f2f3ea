"""From a connected byte stream to a node's answers.  Imports paramiko: load it when needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import paramiko

from clusterctl.model import Answer, Kind, Node, Question
from clusterctl.transport import TransportError
from clusterctl.transport.host_keys import HostKeys
from clusterctl.transport.ssh_config import Target
from clusterctl.transport.ssh_keys import Keyring, Passphrase
from clusterctl.transport.ssh_line import (
    BROKEN,
    KEEPALIVE_S,
    Line,
    Watch,
    forward,
    lost,
    start,
    unopened,
)
from clusterctl.transport.ssh_login import authenticate, greet
from clusterctl.transport.wire import Conversation

STDERR_KEPT = 16384
CHUNK = 1 << 18


class Caller:
    """Owns what all connections share: the keys, the known hosts, the watch over deadlines."""

    def __init__(self, passphrase: Passphrase, *, accept_new: bool, auth_s: float) -> None:
        self.keyring = Keyring(passphrase)
        self.accept_new = accept_new
        self.auth_s = auth_s
        self.watch = Watch()
        self.files: dict[tuple[object, ...], HostKeys] = {}
        self.reading = threading.Lock()

    def call(self, sock: Any, target: Target) -> Line:
        """An authenticated line over a stream, which is then the line's.  Raises TransportError."""
        accept_new = self.accept_new or target.accept_new
        until = monotonic() + self.auth_s
        line = greet(sock, target, self._host_keys(target), accept_new=accept_new, until=until)
        with ExitStack() as stack:
            stack.callback(line.hang_up)
            authenticate(line, target, self.keyring, until)
            stack.pop_all()
        line.set_keepalive(KEEPALIVE_S)
        return line

    def forward(self, line: Line, jump: Target, target: Target, connect_s: float) -> Any:
        return forward(line, jump, target, connect_s)

    @contextmanager
    def shell(
        self, line: Line, node: Node, target: Target, *, until: float, node_s: float, nice: int
    ) -> Iterator[SshShell]:
        """Talk over the line until `until` (monotonic), then hang up."""
        try:
            with self.watch.ending(until, line.hang_up):
                yield SshShell(line, node, target, until=until, node_s=node_s, nice=nice)
        finally:
            line.hang_up()

    def _host_keys(self, target: Target) -> HostKeys:
        with self.reading:
            if target.known_hosts not in self.files:
                self.files[target.known_hosts] = HostKeys(target.known_hosts)
            return self.files[target.known_hosts]


class SshShell:
    """One exec on an open line; the line's owner hangs up."""

    def __init__(
        self, line: Line, node: Node, target: Target, *, until: float, node_s: float, nice: int
    ) -> None:
        self.line = line
        self.node = node
        self.target = target
        self.until = until
        self.node_s = node_s
        self.nice = nice
        self.began = monotonic()
        self.stderr = bytearray()

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        left = self.until - monotonic()
        talk = Conversation(questions, node_s=left, become=self.node.become, nice=self.nice)
        channel = self._session(talk.command)
        try:
            channel.sendall(talk.to_send())
            while not talk.done:
                data = self._heard(channel)
                if not data:
                    raise self._ended(channel, talk)
                yield from talk.feed(data)
                if more := talk.to_send():
                    channel.sendall(more)
        except BROKEN as error:
            raise self._broken(channel, talk, error) from error

    def _session(self, command: str) -> paramiko.Channel:
        try:
            channel = self.line.open_session(timeout=max(0.1, self.until - monotonic()))
            channel.settimeout(max(0.1, self.until - monotonic()))
            start(self.line, channel, command)
        except BROKEN as error:
            if monotonic() >= self.until:
                raise self._late() from error
            if self.line.is_active():
                raise unopened(self.target, error) from error
            raise lost(self.target, error, monotonic() - self.began) from error
        return channel

    def _heard(self, channel: paramiko.Channel) -> bytes:
        """Some bytes of stdout; none at its end.  Raises TransportError at the deadline."""
        while (left := self.until - monotonic()) > 0:
            channel.settimeout(min(left, 1.0))  # stderr must be drained, or the node blocks on it
            try:
                data: bytes = channel.recv(CHUNK)
            except TimeoutError:
                # Even if the end has come meanwhile: what came before it may still lie here.
                self._drain(channel)
                continue
            self._drain(channel)
            channel.settimeout(max(0.1, left))
            return data
        raise self._late()

    def _drain(self, channel: paramiko.Channel) -> None:
        while channel.recv_stderr_ready():
            self.stderr += channel.recv_stderr(CHUNK)
            del self.stderr[:-STDERR_KEPT]

    def _late(self) -> TransportError:
        return TransportError(
            Kind.TIMEOUT,
            f"{self.target} has not finished within {self.node_s:g} s; what it answered until "
            "then stands",
        )

    def _ended(self, channel: paramiko.Channel, talk: Conversation) -> TransportError:
        """Stdout ended early: by its program's end, by refusal, or with the connection."""
        if monotonic() >= self.until:
            return self._late()
        channel.status_event.wait(max(0.0, min(2.0, self.until - monotonic())))
        self._drain(channel)
        if channel.exit_status >= 0:
            return talk.closed(channel.exit_status, bytes(self.stderr))
        if not self.line.is_active():
            return lost(self.target, self.line.get_exception(), monotonic() - self.began)
        if not channel.event_ready:
            return unopened(self.target, paramiko.SSHException("exec refused"))
        return talk.closed(None, bytes(self.stderr))

    def _broken(
        self, channel: paramiko.Channel, talk: Conversation, error: BaseException
    ) -> TransportError:
        if monotonic() >= self.until:
            return self._late()
        if self.line.is_active():  # the node's program is gone, the line is not
            return self._ended(channel, talk)
        return lost(self.target, error, monotonic() - self.began)
