"""One rank of a collective operation over plain TCP, with nothing but Python.

It travels beside collective.py.  all_reduce and reduce_scatter go round a ring in pieces, as NCCL's
ring does; all_gather too; all_to_all goes straight; broadcast is a chain; send_recv passes on to
the next.  What is timed is moving the bytes: Python's sums are slower than any link, so they are
made, and compared, in rounds of their own, of CHECKED bytes at most.
"""

import random
import select
import socket
import struct
import threading
import time

from near_nic import stay_near
from pair_tcp import call, meet

LANE = 8  # bytes; a value takes up 6 of them, so that 65,536 ranks can be summed
PERIOD = 8191 * LANE  # a prime: bytes that end up in another place are seen
SLICE = 1 << 18
CHECKED = 64 << 20
FEWEST = 3
BROKEN = "another rank broke off"


class Broken(OSError):
    """A neighbour went first: it is not this rank's fault."""


# ----------------------------------------------------------------------------- patterns


def pattern(seed, rank):
    lanes = random.Random(seed * 1000003 + rank).getrandbits(PERIOD * 8)
    mask = int.from_bytes(b"\xff\xff\xff\xff\xff\xff\0\0" * (PERIOD // LANE), "little")
    return (lanes & mask).to_bytes(PERIOD, "little")


def total(patterns):
    return sum(int.from_bytes(one, "little") for one in patterns).to_bytes(PERIOD, "little")


def stretch(block, start, length):
    """`length` bytes of the endless repetition of a block, from `start` on."""
    phase = start % PERIOD
    times = (phase + length) // PERIOD + 1
    return memoryview(bytearray(block * times))[phase : phase + length]


def add(into, more):
    """Lane by lane: no lane overflows, so no carry leaves one."""
    both = int.from_bytes(into, "little") + int.from_bytes(more, "little")
    into[:] = both.to_bytes(len(into), "little")


def differing(got, due):
    """Lanes that are not as they should be."""
    if got == due:
        return 0
    lanes = range(0, len(due), LANE)
    return sum(got[at : at + LANE] != due[at : at + LANE] for at in lanes)


# ----------------------------------------------------------------------------- the way of bytes


class Ring:
    """One rank's sockets: `send_to` and `take_from` by rank."""

    def __init__(self, rank, ranks, stall_s):
        self.rank, self.ranks, self.stall_s = rank, ranks, stall_s
        self.send_to, self.take_from = {}, {}

    def connect(self, server, plan, secret, meeting_s, everybody):
        """Each rank calls those it sends to; who calls it is met meanwhile."""
        rank, ranks = self.rank, self.ranks
        calls = [(rank + k) % ranks for k in (range(1, ranks) if everybody else (1,))]
        comes = [(rank - k) % ranks for k in (range(1, ranks) if everybody else (1,))]
        met, failed = [], []

        def wait():
            try:
                met.extend(meet(server, secret, comes, meeting_s))
            except OSError as error:
                failed.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        finish = time.monotonic() + meeting_s
        for other in calls:
            where = plan["places"][other], plan["ports"][other]
            peer = call(*where, secret, rank, finish, plan["binds"][rank])
            self.send_to[other] = peer
        waiting.join()
        if failed:
            raise failed[0]
        self.take_from = dict(zip(comes, met))
        for one in (*self.send_to.values(), *met):
            one.settimeout(0)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, to, data, source, into):
        """Send all of `data` to one rank while all of `into` comes from another."""
        out, back = self.send_to.get(to), self.take_from.get(source)
        sent = got = 0
        poll = select.poll()
        if len(data):
            poll.register(out, select.POLLOUT)
        if len(into):
            poll.register(back, select.POLLIN)
        while sent < len(data) or got < len(into):
            ready = poll.poll(self.stall_s * 1000)
            if not ready:
                raise OSError(
                    "no byte in %g s: %d of %d sent to rank %s, %d of %d come from rank %s"
                    % (self.stall_s, sent, len(data), to, got, len(into), source)
                )
            for number, _ in ready:
                try:
                    if len(into) and number == back.fileno():
                        count = back.recv_into(into[got : got + SLICE])
                        if not count:
                            raise Broken("%s: rank %s" % (BROKEN, source))
                        got += count
                        if got == len(into):
                            poll.unregister(back)
                    else:
                        sent += out.send(data[sent : sent + SLICE])
                        if sent == len(data):
                            poll.unregister(out)
                except BlockingIOError:
                    continue
                except (ConnectionError, TimeoutError) as error:
                    raise Broken("%s: rank %s or %s: %s" % (BROKEN, to, source, error))

    def step(self, data, into, then=None):
        """A piece of the ring: to the next, from the one before."""
        to, source = (self.rank + 1) % self.ranks, (self.rank - 1) % self.ranks
        if then is None:
            self.exchange(to, data, source, into)
            return
        for at in range(0, len(data), SLICE):
            self.exchange(to, data[at : at + SLICE], source, into[at : at + SLICE])
            then(at)

    def agree(self, number):
        """Rank 0's number at every rank; nobody goes on before all are here."""
        token = bytearray(struct.pack("<I", number))
        to, source = (self.rank + 1) % self.ranks, (self.rank - 1) % self.ranks
        for _ in range(2):
            if self.rank == 0:
                self.exchange(to, token, source, bytearray(0))
                self.exchange(to, b"", source, memoryview(token))
            else:
                self.exchange(to, b"", source, memoryview(token))
                self.exchange(to, token, source, bytearray(0))
        return struct.unpack("<I", token)[0]


# ----------------------------------------------------------------------------- operations


def pieces(buffer, ranks):
    length = len(buffer) // ranks
    return [buffer[at * length : (at + 1) * length] for at in range(ranks)]


def scatter_sums(ring, buffer, shift, *, summing):
    """After it piece (rank + shift) holds the sum of all ranks' pieces."""
    parts = pieces(buffer, ring.ranks)
    spare = memoryview(bytearray(len(parts[0])))
    for number in range(ring.ranks - 1):
        mine = parts[(ring.rank + shift - 1 - number) % ring.ranks]
        into = parts[(ring.rank + shift - 2 - number) % ring.ranks]
        if summing:
            ring.step(
                mine,
                spare,
                lambda at, into=into: add(into[at : at + SLICE], spare[at : at + SLICE]),
            )
        else:
            ring.step(mine, spare)


def gather(ring, buffer, shift):
    """Piece (rank + shift) of each rank, at all ranks."""
    parts = pieces(buffer, ring.ranks)
    for number in range(ring.ranks - 1):
        mine = parts[(ring.rank + shift - number) % ring.ranks]
        ring.step(mine, parts[(ring.rank + shift - number - 1) % ring.ranks])


def carry_out(ring, operation, given, result, *, summing=False):
    """`given` is this rank's input; `result` what it ends up with, as long as `given`."""
    rank, ranks = ring.rank, ring.ranks
    if operation in ("all_reduce", "reduce_scatter"):
        result[:] = given
        scatter_sums(ring, result, 1 if operation == "all_reduce" else 0, summing=summing)
        if operation == "all_reduce":
            gather(ring, result, 1)
    elif operation == "all_gather":
        gather(ring, result, 0)
    elif operation == "all_to_all":
        from_me, to_me = pieces(given, ranks), pieces(result, ranks)
        for k in range(1, ranks):
            to, source = (rank + k) % ranks, (rank - k) % ranks
            ring.exchange(to, from_me[to], source, to_me[source])
    elif operation == "broadcast":
        chain(ring, given if rank == 0 else result)
    else:
        ring.step(given, result)


def chain(ring, buffer):
    """From rank 0 to the last, each passing on a slice while the next one comes."""
    first, last = ring.rank == 0, ring.rank == ring.ranks - 1
    behind = 0 if first or last else SLICE
    nothing = memoryview(b"")
    for at in range(0, len(buffer) + behind, SLICE):
        into = nothing if first else buffer[at : at + SLICE]
        data = nothing if last else buffer[max(0, at - behind) : at - behind + SLICE]
        ring.exchange(ring.rank + 1, data, ring.rank - 1, into)


def prepared(operation, seed, ring, size):
    """(what this rank gives, an empty result, what the result must be)."""
    rank, ranks = ring.rank, ring.ranks
    piece = size // ranks
    mine = pattern(seed, rank)
    given = stretch(mine, 0, size)
    result = memoryview(bytearray(size))
    if operation in ("all_reduce", "reduce_scatter"):
        due = stretch(total(pattern(seed, one) for one in range(ranks)), 0, size)
        if operation == "reduce_scatter":
            due = due[rank * piece : (rank + 1) * piece]
    elif operation in ("all_gather", "all_to_all"):
        mixed = bytearray(size)
        for one in range(ranks):
            start = (one if operation == "all_gather" else rank) * piece
            mixed[one * piece : (one + 1) * piece] = stretch(pattern(seed, one), start, piece)
        due = memoryview(mixed)
        own = slice(rank * piece, (rank + 1) * piece)
        result[own] = given[own]
    else:
        source = 0 if operation == "broadcast" else (rank - 1) % ranks
        due = stretch(pattern(seed, source), 0, size)
        if operation == "broadcast" and rank == 0:
            result = given
    return given, result, due


def outcome(operation, ring, result):
    if operation == "reduce_scatter":
        return pieces(result, ring.ranks)[ring.rank]
    return result


def one_size(ring, operation, size, seed, seconds, most):
    """{"times": seconds of every timed round, "wrong": lanes}."""
    summed = operation in ("all_reduce", "reduce_scatter")
    unit = LANE * ring.ranks
    checked = min(size, CHECKED) // unit * unit if summed else size
    given, result, due = prepared(operation, seed, ring, checked)
    ring.agree(0)
    carry_out(ring, operation, given, result, summing=summed)
    wrong = differing(outcome(operation, ring, result), due)
    if checked != size:
        given, result, due = prepared("send_recv", seed, ring, size)
    ring.agree(0)
    began = time.monotonic()
    carry_out(ring, operation, given, result)  # the warm-up: buffers grow, windows open
    count = int(seconds / max(1e-6, time.monotonic() - began))
    count = ring.agree(max(FEWEST, min(most, count)))
    times = []
    for _ in range(count):
        ring.agree(0)
        began = time.monotonic()
        carry_out(ring, operation, given, result)
        times.append(time.monotonic() - began)
    if not summed:
        wrong += differing(outcome(operation, ring, result), due)
    return {"size": size, "times": times, "wrong": wrong}


def be(rank, order, plan, server, tell):
    """One rank, in a process of its own: `tell` of every size."""
    stay_near(plan["places"][rank])
    ring = Ring(rank, plan["ranks"], order["stall_s"])
    everybody = order["operation"] == "all_to_all"
    secret = (order["secret"] + "ring").encode()
    ring.connect(server, plan, secret, order["meeting_s"], everybody)
    unit = LANE * plan["ranks"]
    for size in order["sizes"]:
        whole = max(unit, size // unit * unit)
        rounds = order["seed"], order["seconds"], order["rounds"]
        tell(one_size(ring, order["operation"], whole, *rounds))
