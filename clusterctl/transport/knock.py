"""Which of many TCP ports answer: all tried at once, each known as early as it can be."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from clusterctl.model import Kind, Node, Trouble

LOOKUPS_AT_ONCE = 64
KNOCKS_AT_ONCE = 256
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})

Address = tuple[int, Any]  # family, socket address


@dataclass(eq=False, slots=True)
class Door:
    """One node's port.  `until`: when to give up on what is being tried now."""

    node: Node
    host: str
    port: int
    addresses: deque[Address] = field(default_factory=deque)
    error: int = 0
    until: float = 0.0


Outcome = tuple[Node, Trouble | None, socket.socket | None]


def knock(doors: Iterable[Door], *, connect_s: float, at_once: int) -> Iterator[Outcome]:
    """Each node once, as soon as it is known: with its connected socket, or with the Trouble.

    Nothing happens between two calls of next, except in the kernel; what it finished meanwhile
    is looked at before any deadline is.  The caller owns the sockets given out.
    """
    knocking = Knocking(connect_s, at_once)
    try:
        yield from knocking.outcomes(iter(doors))
    finally:
        knocking.close()


class Knocking:
    """Owns the sockets that are still connecting and the threads that look names up."""

    def __init__(self, connect_s: float, at_once: int) -> None:
        self.connect_s = connect_s
        self.at_once = at_once
        self.selector = selectors.DefaultSelector()
        self.connecting: dict[socket.socket, Door] = {}
        self.unnamed: deque[Door] = deque()
        self.looking: dict[Door, None] = {}
        self.looked: SimpleQueue[tuple[Door, tuple[Address, ...], Trouble | None]] = SimpleQueue()
        self.bell, self.clapper = socket.socketpair()
        self.selector.register(self.bell, selectors.EVENT_READ)

    def close(self) -> None:
        self.selector.close()
        for sock in (*self.connecting, self.bell, self.clapper):
            sock.close()

    def outcomes(self, doors: Iterator[Door]) -> Iterator[Outcome]:
        more = True
        while more or self.connecting or self.unnamed or self.looking:
            while more and len(self.connecting) < self.at_once:
                door = next(doors, None)
                if door is None:
                    more = False
                elif address := numeric(door):
                    door.addresses.append(address)
                    yield from self._try(door)
                else:
                    self.unnamed.append(door)
            self._look()
            if self.connecting or self.looking:
                yield from self._events()

    def _look(self) -> None:
        while self.unnamed and len(self.looking) < LOOKUPS_AT_ONCE:
            door = self.unnamed.popleft()
            door.until = monotonic() + self.connect_s
            self.looking[door] = None
            # A resolver that hangs cannot be stopped: such a thread is left to end by itself.
            threading.Thread(target=self._lookup, args=(door,), daemon=True).start()

    def _lookup(self, door: Door) -> None:
        found, trouble = lookup(door)
        self.looked.put((door, found, trouble))
        try:
            self.clapper.send(b"!")
        except OSError:
            return  # nobody waits any more

    def _events(self) -> Iterator[Outcome]:
        nearest = min(door.until for door in (*self.connecting.values(), *self.looking))
        ready = self.selector.select(max(0.0, nearest - monotonic()))
        for key, _ in ready:
            if key.fileobj is self.bell:
                self.bell.recv(4096)
            elif isinstance(key.fileobj, socket.socket):
                yield from self._connected(key.fileobj)
        yield from self._found()
        yield from self._expired()

    def _found(self) -> Iterator[Outcome]:
        while True:
            try:
                door, addresses, trouble = self.looked.get_nowait()
            except Empty:
                return
            if door not in self.looking:
                continue  # given up on already
            del self.looking[door]
            door.addresses.extend(addresses)
            if trouble:
                yield door.node, trouble, None
            else:
                yield from self._try(door)

    def _expired(self) -> Iterator[Outcome]:
        now = monotonic()
        for door in [door for door in self.looking if door.until <= now]:
            del self.looking[door]
            yield door.node, unnamed(door, f"no answer within {self.connect_s:g} s"), None
        for sock in [sock for sock, door in self.connecting.items() if door.until <= now]:
            door = self._drop(sock)
            door.error = errno.ETIMEDOUT
            yield from self._try(door)

    def _drop(self, sock: socket.socket) -> Door:
        self.selector.unregister(sock)
        sock.close()
        return self.connecting.pop(sock)

    def _connected(self, sock: socket.socket) -> Iterator[Outcome]:
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            door = self._drop(sock)
            door.error = error
            yield from self._try(door)
        else:
            self.selector.unregister(sock)
            yield self.connecting.pop(sock).node, None, sock

    def _try(self, door: Door) -> Iterator[Outcome]:
        """Start with the door's next address, or say that none is left."""
        while door.addresses:
            family, address = door.addresses[0]
            sock = None
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
                sock.settimeout(0)
                error = sock.connect_ex(address)
            except OSError as refused:
                error = refused.errno or errno.EINVAL
            if error == errno.EINPROGRESS and sock:
                share = self.connect_s / len(door.addresses)
                door.addresses.popleft()
                door.until = monotonic() + share
                self.connecting[sock] = door
                self.selector.register(sock, selectors.EVENT_WRITE)
                return
            if error == 0 and sock:
                yield door.node, None, sock
                return
            if sock:
                sock.close()
            door.addresses.popleft()
            door.error = error
        yield door.node, closed(door, self.connect_s), None


def numeric(door: Door) -> Address | None:
    """The address of a host given as one; no resolver is asked."""
    try:
        found = socket.getaddrinfo(
            door.host, door.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return None
    return found[0][0], found[0][4]


def lookup(door: Door) -> tuple[tuple[Address, ...], Trouble | None]:
    try:
        found = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return (), unnamed(door, getattr(error, "strerror", None) or str(error))
    return tuple((family, address) for family, _, _, _, address in found), None


def unnamed(door: Door, why: str) -> Trouble:
    return Trouble(
        Kind.UNREACHABLE,
        f"no address for the name {door.host} ({why}): is it in DNS or /etc/hosts? "
        "An address in the inventory needs neither",
    )


def closed(door: Door, connect_s: float) -> Trouble:
    """What a failed connect means to a person."""
    where = f"port {door.port}"  # the node stands beside it, and a dead rack folds into one line
    if door.error == errno.ECONNREFUSED:
        return Trouble(
            Kind.UNREACHABLE, f"{where} refuses: up, but no sshd there; still booting, or the port"
        )
    if door.error == errno.ETIMEDOUT:
        return Trouble(
            Kind.UNREACHABLE,
            f"{where} does not answer within {connect_s:g} s: off, unplugged, or a firewall drops",
        )
    if door.error in OUT_OF_FILES:
        return Trouble(
            Kind.UNREACHABLE,
            f"{where} was not tried: no file left here; lower --at-once, ulimit -n",
        )
    return Trouble(Kind.UNREACHABLE, f"{where}: {os.strerror(door.error)}")
