"""Two nodes that find each other by TCP.  It travels beside scripts that name it."""

import select
import socket
import struct
import time

from near_nic import interface_of

GREETING_S = 5.0  # for the partner to answer: anybody may listen at a port
SO_BINDTODEVICE = 25  # asm-generic/socket.h


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
