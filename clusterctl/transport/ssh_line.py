"""paramiko's connection made fit for many: quick, bounded, hung up at once, shared as a tunnel."""

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
from paramiko.common import MSG_CHANNEL_OPEN_FAILURE, cMSG_CHANNEL_DATA, cMSG_CHANNEL_REQUEST
from paramiko.message import Message
from paramiko.packet import Packetizer

from clusterctl.model import Kind
from clusterctl.spelling import visible
from clusterctl.transport import TransportError
from clusterctl.transport.ssh_config import Target

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

    Many threads use one line to a jump host, and paramiko (5.1) is not ready for that:
    - each must learn why its own channel was refused, where there is one `saved_exception` for all;
    - a thread that writes while another closes the channel must not send after CLOSE: sshd ends
      the whole connection ("data packet referred to nonexistent channel"), or gives the data to
      the next channel of that number.  See Tunnel.
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

    def _send_message(self, message: Message) -> None:
        """For messages about channels, called with clear_to_send_lock held, as for their CLOSE."""
        if not (isinstance(message, TunnelData) and message.channel.closed):
            super()._send_message(message)  # type: ignore[misc]

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


class TunnelData(Message):
    """Data of one channel that is dropped, rather than sent, once the channel is closed."""

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__()
        self.channel = channel
        self.add_byte(cMSG_CHANNEL_DATA)
        self.add_int(channel.remote_chanid)


class Tunnel:
    """A channel of a jump host's line as the socket of another line."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        self.recv = channel.recv
        self.settimeout = channel.settimeout
        self.close = channel.close

    @property
    def _closed(self) -> bool:  # paramiko asks sockets so
        return self.channel.closed

    def send(self, data: bytes) -> int:
        sent: int = self.channel._send(data, TunnelData(self.channel))  # type: ignore[attr-defined] # noqa: SLF001
        return sent


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


def lost(target: Target, error: BaseException | None, seconds: float) -> TransportError:
    """The connection was there and is gone."""
    return TransportError(
        Kind.CUT,
        f"connection to {target} lost after {seconds:.0f} s ({reason(error)}): "
        "rebooted, sshd ended or the network broke",
    )


def unopened(target: Target, error: BaseException) -> TransportError:
    """The node let us in and then refused to run anything."""
    return TransportError(
        Kind.DENIED,
        f"{target} lets us in and opens no session ({reason(error)}): its MaxSessions, or a key "
        "that is only for forwarding",
    )


def forward(line: Line, jump: Target, target: Target, timeout_s: float) -> Tunnel:
    """A byte stream to the target through a jump host.  Raises TransportError."""
    try:
        channel = line.open_channel(
            "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=timeout_s
        )
        return Tunnel(channel)
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


def reason(error: BaseException | None) -> str:
    text = str(error) if error else ""
    return visible(text, 160) if text else "end of stream"
