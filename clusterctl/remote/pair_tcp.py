"""TCP bandwidth between two nodes, each direction apart; each side reports what it received.

Arguments: listen|call, address, ports, secret, seconds, streams, name of the direction to me,
seconds for the partners to find each other, seconds without a byte.
One process a stream: one Python process cannot fill a fast link.  First the caller sends, then the
listener.  The first fifth of each direction is warm-up and not counted.
"""

import os
import select
import socket
import struct
import sys
import time

from trial import crew, end, tell, trouble

GREETING_S = 5.0  # for the partner to answer: anybody may listen at a port
BLOCK = 1 << 18
WARM_UP = 0.2
SAMPLES = 8
# Behind the last block: bytes sent before it, and segments sent again.  A stream that ends without
# was cut, whatever it carried until then.
TRAILER = struct.Struct("<QI")
RETRANSMITS_AT = 100  # tcpi_total_retrans in struct tcp_info, linux/tcp.h


# ----------------------------------------------------------------------------- meeting


def serve(ports):
    """A socket at the first port that is free.  IPv6 takes IPv4 callers too, where there is any."""
    why = None
    for port in ports:
        for family, anywhere in ((socket.AF_INET6, "::"), (socket.AF_INET, "")):
            try:
                server = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                why = error
                continue
            try:
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((anywhere, port))  # partners may know us by a translated address
                server.listen(16)
                return server
            except OSError as error:
                why = error
                server.close()
    raise OSError("cannot listen at port %s: %s" % (" ".join(map(str, ports)), why))


def listen(ports, secret, streams, meeting_s):
    """The partner's streams, in order; who knows no secret is shown the door."""
    server = serve(ports)
    finish = time.monotonic() + meeting_s
    met, strangers, spoken = {}, 0, {}  # by number of the stream; still in mid-greeting
    while len(met) < streams:
        left = finish - time.monotonic()
        if left <= 0:
            raise OSError(
                "the partner did not come within %d s: %d of %d streams, %d strangers; if this "
                "node has another address for data, label it data_address"
                % (meeting_s, len(met), streams, strangers)
            )
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
            if over and said.startswith(secret):
                one.settimeout(GREETING_S)
                one.sendall(secret[::-1])
                met[struct.unpack("<I", said[-4:])[0]] = one
            else:
                strangers += 1
                one.close()
    return [met[number] for number in sorted(met)]


def overhear(peer, said, length):
    """What was said until now, and whether that is the whole greeting.  Nothing: it hung up."""
    try:
        part = peer.recv(length - len(said))
    except OSError:
        part = b""
    # Not a prefix of any secret: the caller takes it for a stranger's.
    return (said + part, len(said + part) == length) if part else (b"-", False)


def call(address, ports, secret, number, finish):
    """One stream to the partner, who shows that it is the partner."""
    while True:
        for port in ports:
            try:
                peer = socket.create_connection((address, port), timeout=GREETING_S)
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
    total, tail, began = 0, b"", None
    while True:
        got = peer.recv_into(buffer)
        now = time.monotonic()
        if not got:
            break
        began = began or now  # the partner may not be ready as soon as we are
        index = int((now - began - warm) // slice_s)
        if 0 <= index < SAMPLES:
            counts[index] += got
        total += got
        tail = (tail + bytes(view[max(0, got - TRAILER.size) : got]))[-TRAILER.size :]
    if len(tail) < TRAILER.size or TRAILER.unpack(tail)[0] != total - TRAILER.size:
        raise OSError("the partner broke off after %d bytes" % total)
    return [TRAILER.unpack(tail)[1], *counts]


def stream(peers, number, role, seconds, stall_s, ready, go):
    """Both directions of one stream, in its own process."""
    for other in peers[:number] + peers[number + 1 :]:
        other.close()  # when its own process is gone, the partner must see it
    peer = peers[number]
    peer.settimeout(stall_s)
    if role == "call":
        send(peer, seconds)
        return receive(peer, seconds)
    row = receive(peer, seconds)
    # Nobody sends while another stream still drains: each direction has the link for itself.
    os.close(ready)
    os.read(go, 1)
    send(peer, seconds)
    peer.recv(1)  # the partner has read all of it when it hangs up
    return row


def main(role, address, ports, secret, seconds, streams, direction, meeting_s, stall_s):
    secret = secret.encode()
    ports = [int(port) for port in ports.split(",")]
    if role == "listen":
        peers = listen(ports, secret, streams, meeting_s)
    else:
        finish = time.monotonic() + meeting_s
        peers = [call(address, ports, secret, number, finish) for number in range(streams)]
    go, ready = os.pipe()  # `go` ends when every process has closed its copy of `ready`

    def started():
        os.close(ready)
        for peer in peers:
            peer.close()

    told = crew(
        lambda number: stream(peers, number, role, seconds, stall_s, ready, go),
        range(streams),
        started,
    )
    if len(told) < streams:
        trouble("exit", "%d of %d streams broke off" % (streams - len(told), streams))
        return
    slice_s = seconds * (1 - WARM_UP) / SAMPLES
    again, *slices = [sum(column) for column in zip(*told.values())]
    samples = [count * 8 / slice_s / 1e9 for count in slices]
    tell(
        "bandwidth",
        part=direction,
        engine="built-in TCP, %d streams" % streams,
        gbit_s=sum(samples) / SAMPLES,
        size_bytes=BLOCK,
        seconds=seconds * (1 - WARM_UP),
        samples_gbit_s=" ".join("%.6g" % sample for sample in samples),
        retransmits=again,
    )


if __name__ == "__main__":
    try:
        main(
            *sys.argv[1:5],
            float(sys.argv[5]),
            int(sys.argv[6]),
            sys.argv[7],
            float(sys.argv[8]),
            float(sys.argv[9]),
        )
    except OSError as error:
        trouble("exit", error)
    end()
