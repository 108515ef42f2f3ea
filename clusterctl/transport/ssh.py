"""Nodes by SSH: one connection and one exec each, jump hosts shared, keys verified."""

from __future__ import annotations

import copy
import signal
import socket
import subprocess
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

from clusterctl.model import Kind, Node, Pace, Trouble, UserError
from clusterctl.spelling import visible
from clusterctl.transport import TransportError
from clusterctl.transport.killed import collect_later, signal_group
from clusterctl.transport.knock import KNOCKS_AT_ONCE, Door, knock
from clusterctl.transport.ssh_config import Surroundings, Target, hop, target
from clusterctl.transport.ssh_index import index

if TYPE_CHECKING:
    from collections.abc import Callable

    from clusterctl.transport import Shell
    from clusterctl.transport.ssh_line import Line

JUMP_RETRY_S = 10.0  # a jump host that failed is not tried again for each node behind it
MOST_JUMPS = 16  # one behind the other; ProxyJump with %h can name ever new ones
KNOCKED_S = 10.0  # sshd waits for a login: LoginGraceTime, 30 s where hardened


def nobody_to_ask(_path: str) -> None:
    return None


def files_needed(at_once: int) -> int:
    """Open files that many nodes at once may take: socket, ProxyCommand's two, knocks, the rest."""
    return 3 * at_once + KNOCKS_AT_ONCE + 64


def check_limits(at_once: int, soft_limit: int) -> None:
    """Raises UserError if so many nodes at once would run out of files (RLIMIT_NOFILE)."""
    needed = files_needed(at_once)
    if needed <= soft_limit:
        return
    most = (soft_limit - files_needed(0)) // 3
    raise UserError(
        f"--at-once {at_once} needs {needed} open files and {soft_limit} are allowed: "
        f"ulimit -n {needed}" + (f", or --at-once {most}" if most > 0 else "")
    )


@dataclass(eq=False, slots=True)
class Jump:
    """One connection to a jump host, shared by all nodes behind it."""

    connecting: threading.Lock = field(default_factory=threading.Lock)
    line: Line | None = None
    error: TransportError | None = None
    failed_at: float = 0.0


class Ssh:
    """Owns the connections to jump hosts and the sockets that knocked; close() hangs up all.

    `accept_new` records keys of hosts that are not known yet; a changed key is never taken.
    `passphrase` is asked with the name of an encrypted key file, once for all nodes; None:
    nobody to ask.  `jitter_s` spreads the connects.  Raises UserError for a bad ssh configuration.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        around: Surroundings,
        rng: Random,
        accept_new: bool = False,
        passphrase: Callable[[str], str | None] = nobody_to_ask,
        nice: int = 10,
        jitter_s: float = 0.02,
    ) -> None:
        from clusterctl.transport.ssh_shell import Caller  # noqa: PLC0415 - paramiko: 0.2 s

        self.pace = pace
        self.around = around
        self.rng = rng
        self.nice = nice
        self.jitter_s = jitter_s
        self.config = index(around.lines())
        self.caller = Caller(passphrase, accept_new=accept_new, auth_s=pace.auth_s)
        self.lock = threading.Lock()
        self.targets: dict[Node, Target] = {}
        self.jumps: defaultdict[str, Jump] = defaultdict(Jump)
        self.knocked: deque[tuple[float, tuple[str, int], socket.socket]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def within(self, node_s: float) -> Ssh:
        """The same with another deadline for nodes; keys, jump hosts and passphrases are shared."""
        other = copy.copy(self)
        other.pace = replace(self.pace, node_s=node_s)
        return other

    def close(self) -> None:
        with self.lock:
            lines = [jump.line for jump in self.jumps.values() if jump.line]
            socks = [sock for _, _, sock in self.knocked]
            self.knocked.clear()
        for line in lines:
            line.hang_up()
        for sock in socks:
            sock.close()

    @contextmanager
    def open(self, node: Node) -> Iterator[Shell]:
        until = monotonic() + self.pace.node_s
        sleep(self.rng.uniform(0, self.jitter_s))
        aim = self._target(node)
        line = self._call(aim)
        with self.caller.shell(
            line, node, aim, until=until, node_s=self.pace.node_s, nice=self.nice
        ) as shell:
            yield shell

    def knock(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Trouble | None]]:
        """As Transport.knock.  A socket that was let in is kept for open: sshd sees one connect."""
        apart: deque[Node] = deque()  # behind something: only open() can tell
        at_once = min(KNOCKS_AT_ONCE, max(self.pace.at_once, 16))
        outcomes = knock(self._doors(nodes, apart), connect_s=self.pace.connect_s, at_once=at_once)
        for node, trouble, sock in outcomes:
            while apart:
                yield apart.popleft(), None
            if sock:
                self._keep(self._target(node), sock)
            yield node, trouble
        for node in apart:
            yield node, None

    def _doors(self, nodes: Iterable[Node], apart: deque[Node]) -> Iterator[Door]:
        for node in nodes:
            aim = self._target(node)
            if aim.direct:
                yield Door(node, aim.host, aim.port)
            else:
                apart.append(node)

    def _target(self, node: Node) -> Target:
        if node not in self.targets:
            lines = self.config.about((node.name, node.address))
            self.targets[node] = target(node, lines, self.around)
        return self.targets[node]

    def _keep(self, aim: Target, sock: socket.socket) -> None:
        now = monotonic()
        with self.lock:
            self.knocked.append((now, (aim.host, aim.port), sock))
            while len(self.knocked) > self.pace.at_once or now - self.knocked[0][0] > KNOCKED_S:
                self.knocked.popleft()[2].close()

    def _kept(self, aim: Target) -> socket.socket | None:
        """The socket that knocked there, if it is young and was not closed from the other side."""
        found = None
        with self.lock:
            for entry in self.knocked:
                if entry[1] == (aim.host, aim.port):
                    found = entry
                    break
            if found:
                self.knocked.remove(found)
        if not found:
            return None
        at, _, sock = found
        if monotonic() - at <= KNOCKED_S and not _ended(sock):
            return sock
        sock.close()
        return None

    def _call(self, aim: Target) -> Line:
        if aim.via:
            return self._through(aim)
        if aim.proxy_command:
            return self._by_command(aim)
        sock = self._kept(aim) or self._connect(aim)
        tune(sock)
        return self.caller.call(sock, aim)

    def _connect(self, aim: Target) -> socket.socket:
        door = Door(Node(aim.name), aim.host, aim.port)
        for _, trouble, sock in knock((door,), connect_s=self.pace.connect_s, at_once=1):
            if sock:
                return sock
            if trouble:
                raise TransportError(trouble.kind, trouble.detail)
        raise AssertionError("knock says something about every node")

    def _through(self, aim: Target) -> Line:
        try:
            self._refuse_loop(aim)
            before = self._target(hop(aim.via))
            line = self._jump(aim.via, before)
        except TransportError as error:
            raise TransportError(error.kind, f"behind jump host {aim.via}: {error}") from error
        except UserError as error:
            raise TransportError(Kind.UNREACHABLE, str(error)) from error
        return self.caller.call(self.caller.forward(line, before, aim, self.pace.connect_s), aim)

    def _refuse_loop(self, aim: Target) -> None:
        """Raises UserError, before a lock is taken, where a jump host is behind itself."""
        passed = {aim.via}
        before = self._target(hop(aim.via))
        while before.via:
            if before.via in passed or len(passed) >= MOST_JUMPS:
                raise UserError(
                    f"jump host loop via {before.via}: {before.name} is behind it too; put"
                    f" 'Host {before.name}' with 'ProxyJump none' above what says so"
                )
            passed.add(before.via)
            before = self._target(hop(before.via))

    def _jump(self, via: str, before: Target) -> Line:
        with self.lock:
            jump = self.jumps[via]
        with jump.connecting:
            if jump.line and jump.line.is_active():
                return jump.line
            if jump.error and monotonic() - jump.failed_at < JUMP_RETRY_S:
                raise TransportError(jump.error.kind, str(jump.error))
            try:
                jump.line, jump.error = self._call(before), None
            except TransportError as error:
                jump.error, jump.failed_at = error, monotonic()
                raise
            return jump.line

    def _by_command(self, aim: Target) -> Line:
        """ProxyCommand's standard input and output are the connection, as a socket pair."""
        ours, theirs = socket.socketpair()
        said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the command
        try:
            command = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {aim.proxy_command}"],
                stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=said,
                env=dict(self.around.environ), start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        try:
            line = self.caller.call(ours, aim)
        except TransportError as error:
            signal_group(command, signal.SIGTERM)
            collect_later(command)
            said.seek(0)
            words = visible(said.read(300).decode(errors="replace").strip())
            raise TransportError(
                error.kind, f"through ProxyCommand ({words or 'silent'}): {error}"
            ) from error
        # The command ends with its socket; somebody must still collect it.
        collect_later(command)
        return line


def _ended(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def tune(sock: socket.socket) -> None:
    """Small packets at once, and a node that lost its power is noticed within half a minute."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
