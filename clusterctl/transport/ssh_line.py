"""One authenticated SSH connection, by paramiko, and what its many ways to fail mean."""

from __future__ import annotations

import heapq
import itertools
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from time import monotonic
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_OPEN_FAILURE, cMSG_CHANNEL_REQUEST
from paramiko.message import Message
from paramiko.packet import Packetizer

from clusterctl.model import Kind
from clusterctl.spelling import visible
from clusterctl.transport import TransportError
from clusterctl.transport.host_keys import HostKeys, algorithms, verify
from clusterctl.transport.ssh_config import Target
from clusterctl.transport.ssh_keys import Keyring

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # what it knows, we say better

KEEPALIVE_S = 20
LONGEST_LINE = 8192  # before the banner; RFC 4253 allows 255 for the banner itself
PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
CONNECT_FAILED = 2  # RFC 4254, 5.1
# All that paramiko lets out when a peer is gone, lies or stops: read in its source, 5.1.
BROKEN = (paramiko.SSHException, EOFError, OSError, struct.error, ValueError, IndexError)


class Packets(Packetizer):
    heard = False  # whether the peer ever said anything

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.sock = sock

    def start_handshake(self, _timeout: float) -> None:
        """Our own deadline covers the handshake; paramiko's costs a timer thread a connection."""

    def readline(self, _timeout: float) -> str:
        """Bounded, where paramiko's gathers whatever a hostile peer sends."""
        line = bytearray()
        while not line.endswith(b"\n"):
            if len(line) > LONGEST_LINE:
                raise paramiko.SSHException(f": {visible(line[:40].decode('latin-1'))}…")
            line += self.read_all(self._up_to_newline())
            self.heard = True
        return line.decode("utf-8", "replace").rstrip("\r\n")

    def _up_to_newline(self) -> int:
        """How many bytes can be read without reading into what follows; a byte a call is slow."""
        if not isinstance(self.sock, socket.socket):
            return 1
        try:
            ahead = self.sock.recv(LONGEST_LINE, PEEK)
        except OSError:
            return 1
        return ahead.find(b"\n") + 1 or len(ahead) or 1


class Line(paramiko.Transport):
    """paramiko's Transport with the fast algorithms first and none dropped.

    Several threads may open channels on one line (a jump host's), so each must learn why its own
    was refused; paramiko keeps one `saved_exception` for all.
    """

    _preferred_ciphers = (
        "aes128-gcm@openssh.com",  # hardware does it in one pass; CTR needs a hash besides
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "3des-cbc",
    )
    _active_check_timeout = 1.0  # paramiko's 0.1 wakes 200 threads ten times a second
    packetizer: Packets

    def __init__(self, sock: Any, key_algorithms: tuple[str, ...]) -> None:
        super().__init__(sock, packetizer_class=Packets)
        self.key_algorithms = key_algorithms
        self.openers: dict[int, int] = {}
        self.refusals: dict[int, Exception] = {}
        handlers: Any = self._handler_table  # type: ignore[attr-defined] # the stubs know no _names
        handlers[MSG_CHANNEL_OPEN_FAILURE] = self._channel_refused

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self.key_algorithms

    def _log(self, level: int, msg: object, *args: object) -> None:
        """Nobody reads it."""

    def _next_channel(self) -> int:
        channel: int = super()._next_channel()  # type: ignore[misc]
        self.openers[channel] = get_ident()
        return channel

    def _channel_refused(self, message: Message) -> None:
        channel, code, text = message.get_int(), message.get_int(), message.get_text()
        self.refusals[self.openers.get(channel, 0)] = paramiko.ChannelException(code, text)
        with self.lock:
            self._channels.delete(channel)  # type: ignore[attr-defined]
            event = self.channel_events.pop(channel, None)
        if event:
            event.set()

    def get_exception(self) -> Exception | None:
        return self.refusals.pop(get_ident(), None) or super().get_exception()

    def hang_up(self) -> None:
        """At once, from any thread; the reading thread then sees the end and tidies up.

        Closing the socket here would free its number while that thread may still read from it.
        """
        sock: Any = self.sock
        try:
            if isinstance(sock, socket.socket):
                sock.shutdown(socket.SHUT_RDWR)
            else:
                sock.close()
        except BROKEN:
            sock.close()
        if not self.is_alive():
            sock.close()


class Watch:
    """Ends what is past its deadline, wherever it is stuck.  One thread for all lines."""

    def __init__(self) -> None:
        self.due: list[tuple[float, int]] = []
        self.ends: dict[int, Callable[[], None]] = {}
        self.changed = threading.Condition()
        self.numbers = itertools.count()
        self.thread: threading.Thread | None = None

    @contextmanager
    def ending(self, when: float, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` at `when`, from another thread, unless the block is left before."""
        with self.changed:
            number = next(self.numbers)
            self.ends[number] = end
            heapq.heappush(self.due, (when, number))
            if not self.thread:
                self.thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self.thread.start()
            elif self.due[0][1] == number:
                self.changed.notify()
        try:
            yield
        finally:
            self.ends.pop(number, None)

    def _watch(self) -> None:
        while True:
            with self.changed:
                while not self.due or self.due[0][0] > monotonic():
                    self.changed.wait(self.due[0][0] - monotonic() if self.due else None)
                _, number = heapq.heappop(self.due)
            end = self.ends.pop(number, None)
            if end:
                end()


def greet(sock: Any, target: Target, keys: HostKeys, *, accept_new: bool, until: float) -> Line:
    """Banner, key exchange and the peer's host key.  Raises TransportError; then sock is closed."""
    line = Line(sock, algorithms(keys.known(target)))
    began = monotonic()
    agreed = threading.Event()
    line.start_client(event=agreed)
    agreed.wait(max(0.0, until - began))
    if not line.is_active() or not agreed.is_set():
        why = silence(line, target, monotonic() - began, over=not agreed.is_set())
        line.hang_up()
        raise why
    try:
        key = line.get_remote_server_key()
        verify(keys, target, key.get_name(), key.get_base64(), accept_new=accept_new)
    except BaseException:
        line.hang_up()
        raise
    return line


def silence(line: Line, target: Target, waited_s: float, *, over: bool) -> TransportError:
    """Why there was no key exchange.  `over`: the time was up first."""
    error = line.get_exception()
    if over:
        said = "then stops" if line.packetizer.heard else "then says nothing"
        return TransportError(
            Kind.TIMEOUT,
            f"{target} accepts TCP and {said} for {waited_s:.0f} s: sshd hung, out of memory or "
            "processes, or not sshd at all",
        )
    if not line.packetizer.heard:
        return TransportError(
            Kind.UNREACHABLE,
            f"{target} closes the connection without a word ({_reason(error)}): sshd at its "
            "MaxStartups, still booting, or a ban (fail2ban, hosts.deny); try --at-once lower",
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return TransportError(
            Kind.DENIED, f"{target} speaks no algorithm that we do: {_reason(error)}"
        )
    if not line.remote_version.startswith("SSH-"):
        return TransportError(
            Kind.UNREACHABLE,
            f"{target} does not speak SSH ({_reason(error)}): is the port right?",
        )
    return TransportError(
        Kind.UNREACHABLE, f"{target} breaks off the key exchange: {_reason(error)}"
    )


def authenticate(line: Line, target: Target, keyring: Keyring, until: float) -> None:
    """Offer keys until one is taken.  Time that a person needs for a passphrase does not count."""
    tried: list[str] = []
    offers = keyring.offers(target)
    while True:
        asked = monotonic()
        credential = next(offers, None)
        until += monotonic() - asked
        if not credential:
            break
        tried.append(credential.origin)
        line.auth_timeout = max(0.1, until - monotonic())
        try:
            more = line.auth_publickey(target.user, credential.key)
        except paramiko.BadAuthenticationType as error:
            raise TransportError(
                Kind.DENIED,
                f"{target} takes no keys, only {', '.join(error.allowed_types)}: "
                "allow publickey in its sshd_config",
            ) from error
        except paramiko.AuthenticationException as error:
            if line.is_active() and monotonic() < until:
                continue  # this key is not wanted; the next may be
            raise _unauthenticated(target, tried, error, over=monotonic() >= until) from error
        except BROKEN as error:
            if line.is_active() and isinstance(error, paramiko.SSHException):
                continue  # the agent would not sign with it, or the server not have its algorithm
            raise _unauthenticated(target, tried, error, over=monotonic() >= until) from error
        if more:
            raise TransportError(
                Kind.DENIED,
                f"{target} takes our key and then also wants {', '.join(more)}, which nobody can "
                "answer for many nodes: use a jump host or exempt this user",
            )
        keyring.worked(target, credential)
        return
    offered = (
        f"refuses {', '.join(tried)}" if tried else "cannot be asked: there is no key to offer"
    )
    missing = keyring.missing(target)
    raise TransportError(
        Kind.DENIED,
        f"{target} {offered}{f' ({missing})' if missing else ''}: ssh-add a key that it knows, "
        "or ssh-copy-id ours to it",
    )


def _unauthenticated(
    target: Target, tried: list[str], error: Exception, *, over: bool
) -> TransportError:
    if over:
        return TransportError(
            Kind.TIMEOUT,
            f"{target} does not answer our key in time: LDAP, DNS or PAM of the node, or the agent",
        )
    return TransportError(
        Kind.DENIED,
        f"{target} ends the connection after {len(tried)} of our keys ({', '.join(tried)}; "
        f"{_reason(error)}): its MaxAuthTries, or a rule for this user; "
        "name the key with IdentityFile and IdentitiesOnly",
    )


def lost(target: Target, error: BaseException | None, seconds: float) -> TransportError:
    """The connection was there and is gone."""
    return TransportError(
        Kind.CUT,
        f"connection to {target} lost after {seconds:.0f} s ({_reason(error)}): "
        "rebooted, sshd ended or the network broke",
    )


def unopened(target: Target, error: BaseException) -> TransportError:
    """The node let us in and then refused to run anything."""
    return TransportError(
        Kind.DENIED,
        f"{target} lets us in and opens no session ({_reason(error)}): its MaxSessions, or a key "
        "that is only for forwarding",
    )


def forward(line: Line, jump: Target, target: Target, timeout_s: float) -> paramiko.Channel:
    """A byte stream to the target through a jump host.  Raises TransportError."""
    try:
        return line.open_channel(
            "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=timeout_s
        )
    except paramiko.ChannelException as error:
        if error.code == CONNECT_FAILED:
            raise TransportError(
                Kind.UNREACHABLE,
                f"{target} cannot be reached from jump host {jump}: {visible(error.text)}",
            ) from error
        raise TransportError(
            Kind.DENIED,
            f"jump host {jump} does not forward to {target} ({visible(error.text)}): "
            "its AllowTcpForwarding, PermitOpen or MaxSessions",
        ) from error
    except BROKEN as error:
        if line.is_active():
            raise TransportError(
                Kind.UNREACHABLE,
                f"jump host {jump} found no way to {target} within {timeout_s:.0f} s",
            ) from error
        raise lost(jump, error, 0) from error


def start(line: Line, channel: paramiko.Channel, command: str) -> None:
    """Ask to run a command without waiting: if refused, the channel closes.

    Channel.exec_command waits for the reply without a limit, and a round trip more.
    """
    request = Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("exec")
    request.add_boolean(True)  # noqa: FBT003 - want a reply
    request.add_string(command)
    line._send_user_message(request)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way


def _reason(error: BaseException | None) -> str:
    text = str(error) if error else ""
    return visible(text, 160) if text else "end of stream"
