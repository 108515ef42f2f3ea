"""Several TCP streams carried by one process, without one that is slow holding up the others.

It travels beside pair.py and loop_nic.py.  The first fifth of each turn is warm-up and not counted.
"""

import os
import select
import socket
import struct
import time

BLOCK = 1 << 18  # a call's bytes: what Python adds to each call is lost in the copying
WARM_UP = 0.2
SAMPLES = 20
TICKS = 4  # in a slice
BLOCKS_A_SLICE = 16
# Behind the last block: bytes sent before it, and segments sent again.  A stream that ends without
# was cut, whatever it carried until then.
TRAILER = struct.Struct("<QI")
RETRANSMITS_AT = 100  # tcpi_total_retrans in struct tcp_info, linux/tcp.h

FORWARD, BACKWARD = "forward", "backward"  # the caller sends; the listener does


def sends(role, turn):
    return (role == "call") == (turn == FORWARD)


def shares(turns, cpus):
    """Numbers of the streams that each process carries; those of one process take the same turns.

    As many processes as streams where there are processors: one cannot fill a fast link.  Half of
    them are the kernel's own, which receives in interrupts.  Where they are few one process does
    more than several that take turns: on two processors for both ends it carries half as much
    again as two a side.
    """
    kinds = sorted(set(map(tuple, turns)))
    most = max(1, cpus // 2 // len(kinds))
    parts = []
    for kind in kinds:
        alike = [number for number, its in enumerate(turns) if tuple(its) == kind]
        parts += [alike[at::most] for at in range(min(most, len(alike)))]
    return parts


class Flow:
    """How far one stream has come."""

    def __init__(self, peer):
        peer.settimeout(0)
        self.peer = peer
        self.total = self.seen = 0  # bytes; those at the last tick
        self.rest = b""  # of its trailer: what came last, or what still has to go
        self.moved = time.monotonic()
        self.low = 1  # byte that wakes us

    def took(self, said, now):
        self.total += len(said)
        self.rest = (self.rest + bytes(said[-TRAILER.size :]))[-TRAILER.size :]
        self.moved = now

    def rouse(self, low):
        """Wakes us for so many bytes at once, where the kernel has room for many more."""
        if low != self.low:
            room = self.peer.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            self.low = low if room >= 4 * low else 1
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self.low)

    def whole(self):
        """Whether all that was sent has come."""
        return (
            len(self.rest) == TRAILER.size
            and TRAILER.unpack(self.rest)[0] == self.total - TRAILER.size
        )


class Wait:
    """Which of several streams can move, until each has ended or said nothing for too long."""

    def __init__(self, peers, event, tick_s, stall_s):
        self.flows = {peer.fileno(): Flow(peer) for peer in peers}
        self.tick_s, self.stall_s = min(tick_s, stall_s / TICKS), stall_s
        self.ticked = self.now = time.monotonic()
        self.epoll = select.epoll()
        for number in self.flows:
            self.epoll.register(number, event)

    def ready(self):
        """(streams that may move, seconds since the last tick or 0.0); a tick is told to all."""
        left = max(0.0, self.ticked + self.tick_s - self.now)
        found = [self.flows[number] for number, _ in self.epoll.poll(left)]
        self.now = time.monotonic()
        since = self.now - self.ticked
        if since < self.tick_s:
            return found, 0.0
        self.ticked = self.now
        for flow in list(self.flows.values()):
            if self.now - flow.moved > self.stall_s:
                self.lost(flow)
        return list(self.flows.values()), since

    def ended(self, flow):
        self.epoll.unregister(flow.peer.fileno())
        del self.flows[flow.peer.fileno()]

    def lost(self, flow):
        self.ended(flow)
        flow.peer.close()  # the partner must see it


def send(peers, seconds, stall_s):
    """Sends for that long; the peers to which all of it went, with its trailer."""
    block = os.urandom(BLOCK)
    wait = Wait(peers, select.EPOLLOUT, 1.0, stall_s)
    finish = time.monotonic() + seconds
    done = []
    with wait.epoll:
        while wait.flows:
            for flow in wait.ready()[0]:
                if wait.now >= finish and not flow.rest:
                    flow.rest = TRAILER.pack(flow.total, retransmits(flow.peer))
                try:
                    count = flow.peer.send(flow.rest or block)
                    if count == len(flow.rest):
                        flow.peer.shutdown(socket.SHUT_WR)
                        done.append(flow.peer)
                        wait.ended(flow)
                except BlockingIOError:
                    continue
                except OSError:
                    wait.lost(flow)
                    continue
                flow.moved = wait.now
                if flow.rest:
                    flow.rest = flow.rest[count:]
                else:
                    flow.total += count
    return done


def retransmits(peer):
    told = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("I", told, RETRANSMITS_AT)[0] if len(told) >= 104 else 0


def receive(peers, seconds, stall_s):
    """Peers that said all; segments sent again and the bytes in each of SAMPLES slices."""
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    warm = seconds * WARM_UP
    slice_s = (seconds - warm) / SAMPLES
    counts, again, done, began = [0] * SAMPLES, 0, [], None
    wait = Wait(peers, select.EPOLLIN, slice_s / TICKS, stall_s)
    with wait.epoll:
        while wait.flows:
            flows, tick_s = wait.ready()
            for flow in flows:
                try:
                    got = flow.peer.recv_into(buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    got = 0
                if not got and flow.whole():
                    again += TRAILER.unpack(flow.rest)[1]
                    done.append(flow.peer)
                    wait.ended(flow)
                elif not got:
                    wait.lost(flow)
                began = began or wait.now  # the partner may not be ready as soon as we are
                index = int((wait.now - began - warm) // slice_s)
                if 0 <= index < SAMPLES:
                    counts[index] += got
                flow.took(view[:got], wait.now)
            if tick_s:
                sleep_through(flows, BLOCKS_A_SLICE * BLOCK * tick_s / slice_s)
    return done, [again, *counts]


def sleep_through(flows, many):
    """Whole blocks where many fit into a slice: being woken for every few segments is what limits
    a fast link.  What stays below that is read at the next tick.
    """
    for flow in flows:
        if flow.peer.fileno() >= 0:
            flow.rouse(BLOCK // 2 if flow.total - flow.seen > many else 1)
            flow.seen = flow.total
