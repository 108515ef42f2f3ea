"""Two nodes that find each other, and plain TCP between them, one process a stream.

It travels beside pair.py and loop_nic.py.  One Python process cannot fill a fast link.  The first
fifth of each turn is warm-up and not counted.
"""

import os
import select
import socket
import struct
import time

from near_nic import interface_of
from trial import crew

GREETING_S = 5.0  # for the partner to answer: anybody may listen at a port
BLOCK = 1 << 17
WARM_UP = 0.2
SAMPLES = 20
BLOCKS_A_SLICE = 16
# Behind the last block: bytes sent before it, and segments sent again.  A stream that ends without
# was cut, whatever it carried until then.
TRAILER = struct.Struct("<QI")
SO_BINDTODEVICE = 25  # asm-generic/socket.h
NOTSENT_LOWAT = 25  # linux/tcp.h, TCP_NOTSENT_LOWAT
RETRANSMITS_AT = 100  # tcpi_total_retrans in struct tcp_info, linux/tcp.h


# ----------------------------------------------------------------------------- meeting


def serve(ports, bind=""):
    """A socket at the first port that is free, at one address or at all of them.

    IPv6 takes IPv4 callers too, where there is any.
    """
    why = None
    anywhere = ((socket.AF_INET6, "::"), (socket.AF_INET, ""))
    places = ((family_of(bind), bind),) if bind else anywhere
    for port in ports:
        for family, address in places:
            try:
                server = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                why = error
                continue
            try:
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((address, port))  # partners may know us by a translated address
                server.listen(64)
                return server
            except OSError as error:
                why = error
                server.close()
    where = (bind + " " if bind else "") + "port " + " ".join(map(str, ports))
    raise OSError("cannot listen at %s: %s" % (where, why))


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def meet(server, secret, numbers, meeting_s):
    """The partner's streams of these numbers, in order; who knows no secret is shown the door."""
    finish = time.monotonic() + meeting_s
    met, strangers, spoken = {}, 0, {}  # by number of the stream; still in mid-greeting
    while len(met) < len(numbers):
        left = finish - time.monotonic()
        if left <= 0:
            error = OSError(
                "the partner did not come within %d s: %d of %d streams, %d strangers; if this "
                "node has another address for data, label it data_address"
                % (meeting_s, len(met), len(numbers), strangers)
            )
            error.absent = [number for number in numbers if number not in met]
            raise error
        for one in select.select([server, *spoken], [], [], left)[0]:
            if one is server:
                peer, _ = server.accept()
                peer.settimeout(0)
                spoken[peer] = b""
                continue
            said, over = overhear(one, spoken[one], len(secret) + 4)
            if not over and secret.startswith(said[: len(secret)]):
                spoken[one] = said
                continue
            del spoken[one]
            number = struct.unpack("<I", said[-4:])[0] if over else None
            if over and said.startswith(secret) and number in numbers:
                one.settimeout(GREETING_S)
                one.sendall(secret[::-1])
                met[number] = one
            else:
                strangers += 1
                one.close()
    return [met[number] for number in numbers]


def overhear(peer, said, length):
    """What was said until now, and whether that is the whole greeting.  Nothing: it hung up."""
    try:
        part = peer.recv(length - len(said))
    except OSError:
        part = b""
    # Not a prefix of any secret: the caller takes it for a stranger's.
    return (said + part, len(said + part) == length) if part else (b"-", False)


def call(address, ports, secret, number, finish, bind="", from_port=0):
    """One stream to the partner, who shows that it is the partner.

    `bind`: from this address of ours, through the interface that has it; `from_port`: so that a
    fabric which hashes ports sends it the same way again.
    """
    while True:
        for port in ports:
            try:
                peer = reach(address, port, bind, from_port)
            except OSError as error:
                why = error
                continue
            try:
                peer.sendall(secret + struct.pack("<I", number))
                if exactly(peer, len(secret)) == secret[::-1]:
                    return peer
                why = "somebody else listens there"
            except OSError as error:
                why = error
            peer.close()
        if time.monotonic() >= finish:
            where = "%s port %s" % (address, " ".join(map(str, ports)))
            raise OSError(
                "cannot reach the partner at %s: %s; if it has another address for data, label it "
                "data_address" % (where, why)
            )
        time.sleep(0.1)


def reach(address, port, bind, from_port):
    if not bind and not from_port:
        return socket.create_connection((address, port), timeout=GREETING_S)
    peer = socket.socket(family_of(bind or address), socket.SOCK_STREAM)
    try:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stay_on(peer, bind)
        peer.settimeout(GREETING_S)
        peer.bind((bind, from_port))
        peer.connect((address, port))
    except OSError:
        peer.close()
        raise
    return peer


def stay_on(peer, bind):
    """Where two rails share a network, the route alone would choose the first of them."""
    name = interface_of(bind) if bind else ""
    if name and name != "lo":
        try:
            peer.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, name.encode() + b"\0")
        except OSError:
            pass  # only root may on older kernels; the route decides


def exactly(peer, count):
    parts = b""
    while len(parts) < count:
        part = peer.recv(count - len(parts))
        if not part:
            raise OSError("hung up before it had said who it is")
        parts += part
    return parts


# ----------------------------------------------------------------------------- measuring


def send(peer, seconds):
    block = os.urandom(BLOCK)
    finish = time.monotonic() + seconds
    count = 0
    while time.monotonic() < finish:
        peer.sendall(block)
        count += BLOCK
    told = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    again = struct.unpack_from("I", told, RETRANSMITS_AT)[0] if len(told) >= 104 else 0
    peer.sendall(TRAILER.pack(count, again))
    peer.shutdown(socket.SHUT_WR)


def receive(peer, seconds):
    """Segments sent again, and the bytes in each of SAMPLES slices of the time after warm-up."""
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    counts = [0] * SAMPLES
    warm = seconds * WARM_UP
    slice_s = (seconds - warm) / SAMPLES
    total, tail, began, flags = 0, b"", None, 0
    while True:
        got = peer.recv_into(buffer, BLOCK, flags)
        now = time.monotonic()
        if not got:
            break
        began = began or now  # the partner may not be ready as soon as we are
        index = int((now - began - warm) // slice_s)
        if 0 <= index < SAMPLES:
            counts[index] += got
        total += got
        # Whole blocks where many fit into a slice: a core that is woken for every few segments
        # is the limit of a fast link.
        many = total * slice_s > BLOCKS_A_SLICE * BLOCK * max(now - began, slice_s)
        flags = socket.MSG_WAITALL if many else 0
        tail = (tail + bytes(view[max(0, got - TRAILER.size) : got]))[-TRAILER.size :]
    if len(tail) < TRAILER.size or TRAILER.unpack(tail)[0] != total - TRAILER.size:
        raise OSError("the partner broke off after %d bytes" % total)
    return [TRAILER.unpack(tail)[1], *counts]


def stalls_after(peer, stall_s):
    """The kernel's own time limit: Python's costs a poll() for every block."""
    peer.settimeout(None)
    limit = struct.pack("@ll", int(stall_s), int(stall_s % 1 * 1e6))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    try:
        # What waits long in a buffer has left the core's cache by the time it is sent.
        peer.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, BLOCK)
    except OSError:
        pass  # only faster


FORWARD, BACKWARD = "forward", "backward"  # the caller sends; the listener does


def sends(role, turn):
    return (role == "call") == (turn == FORWARD)


def stream(peers, number, role, turns, seconds, stall_s, ready, go):
    """The turns of one stream, in its own process; what it received of each turn."""
    for other in peers[:number] + peers[number + 1 :]:
        other.close()  # when its own process is gone, the partner must see it
    peer = peers[number]
    stalls_after(peer, stall_s)
    row = []
    for place, turn in enumerate(turns):
        if not sends(role, turn):
            row += receive(peer, seconds)
            continue
        if place:
            # Nobody sends while another stream still drains: each turn has the link for itself.
            os.close(ready)
            os.read(go, 1)
        send(peer, seconds)
    if sends(role, turns[-1]) and peer.recv(1):  # the partner has read it all when it hangs up
        raise OSError("the partner spoke out of turn")
    return row


def carry(peers, turns, role, seconds, stall_s):
    """Every stream its turns, `turns[number]`; rows of what each one received, or None: it broke.

    A row is segments sent again by the partner, then the bytes of each of SAMPLES slices.
    """
    go, ready = os.pipe()  # `go` ends when every process has closed its copy of `ready`

    def started():
        os.close(ready)
        for peer in peers:
            peer.close()

    told = crew(
        lambda number: stream(peers, number, role, turns[number], seconds, stall_s, ready, go),
        range(len(peers)),
        started,
    )
    os.close(go)
    return [told.get(number) for number in range(len(peers))]


def summed(rows, seconds):
    """(Gbit/s of every slice, segments sent again) of the streams that received."""
    slice_s = seconds * (1 - WARM_UP) / SAMPLES
    again, *slices = [sum(column) for column in zip(*rows)]
    return [count * 8 / slice_s / 1e9 for count in slices], again
