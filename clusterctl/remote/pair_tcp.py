"""TCP bandwidth between two nodes, each direction apart; each side reports what it received.

Arguments: listen|call, address, port, secret, seconds, streams, name of the direction to me.
One process a stream: one Python process cannot fill a fast link.  First the caller sends, then the
listener.  The first fifth of each direction is warm-up and not counted.
"""

import os
import socket
import struct
import sys
import time

MEETING_S = 30.0
BLOCK = 1 << 18
WARM_UP = 0.2
SAMPLES = 8


def meet(role, address, port, secret, streams):
    """The connected sockets, one a stream."""
    if role == "listen":
        return listen(address, port, secret, streams)
    return [call(address, port, secret, number) for number in range(streams)]


def listen(address, port, secret, streams):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))  # the address partners use may be a translated one
    server.listen(streams * 2)
    end = time.monotonic() + MEETING_S
    met = {}
    while len(met) < streams:
        left = end - time.monotonic()
        if left <= 0:
            raise OSError("the partner did not call within %d s" % MEETING_S)
        server.settimeout(left)
        try:
            peer, _ = server.accept()
        except socket.timeout:
            raise OSError("the partner did not call within %d s" % MEETING_S)
        peer.settimeout(5.0)
        try:
            greeting = exactly(peer, len(secret) + 4)
        except OSError:
            continue
        if greeting[:-4] == secret:  # anybody may knock at an open port
            met[struct.unpack("<I", greeting[-4:])[0]] = peer
        else:
            peer.close()
    server.close()
    return [met[number] for number in sorted(met)]


def call(address, port, secret, number):
    end = time.monotonic() + MEETING_S
    while True:
        try:
            peer = socket.create_connection((address, port), timeout=5.0)
            peer.sendall(secret + struct.pack("<I", number))
            return peer
        except OSError as error:
            if time.monotonic() >= end:
                raise OSError("cannot reach the partner at %s:%d: %s" % (address, port, error))
            time.sleep(0.1)


def exactly(peer, count):
    parts = b""
    while len(parts) < count:
        part = peer.recv(count - len(parts))
        if not part:
            raise OSError("the partner hung up")
        parts += part
    return parts


def send(peer, seconds):
    block = os.urandom(BLOCK)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peer.sendall(block)
    peer.shutdown(socket.SHUT_WR)


def receive(peer, seconds):
    """Bytes in each of SAMPLES slices of the time after the warm-up."""
    buffer = bytearray(BLOCK)
    counts = [0] * SAMPLES
    began = time.monotonic()
    warm = seconds * WARM_UP
    slice_s = (seconds - warm) / SAMPLES
    while True:
        got = peer.recv_into(buffer)
        if not got:
            return counts
        index = int((time.monotonic() - began - warm) // slice_s)
        if 0 <= index < SAMPLES:
            counts[index] += got


def stream(peer, first, seconds, pipe):
    """Both directions of one stream in this process; the slices received go down the pipe."""
    peer.settimeout(seconds + MEETING_S)
    if first == "send":
        send(peer, seconds)
        counts = receive(peer, seconds)
    else:
        counts = receive(peer, seconds)
        send(peer, seconds)
        peer.recv(1)  # the partner has read all of it when it hangs up
    os.write(pipe, (" ".join(str(count) for count in counts) + "\n").encode())


def main(role, address, port, secret, seconds, streams, direction):
    peers = meet(role, address, port, secret.encode(), streams)
    reader, writer = os.pipe()
    children = []
    for peer in peers:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                stream(peer, "send" if role == "call" else "receive", seconds, writer)
                code = 0
            except OSError as error:
                sys.stderr.write("%s\n" % error)
            finally:
                os._exit(code)
        children.append(child)
        peer.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [[int(cell) for cell in line.split()] for line in lines]
    failed = sum(1 for child in children if os.waitpid(child, 0)[1])
    if failed or len(told) < streams:
        say("trouble", "exit", "%d of %d streams broke off" % (max(failed, 1), streams))
        return
    slice_s = seconds * (1 - WARM_UP) / SAMPLES
    samples = [sum(column) * 8 / slice_s / 1e9 for column in zip(*told)]
    rate = sum(samples) / len(samples)
    say(
        "bandwidth",
        "part=" + direction,
        "engine=built-in TCP, %d streams" % streams,
        "gbit_s=%.4f" % rate,
        "size_bytes=%d" % BLOCK,
        "seconds=%.3f" % (seconds * (1 - WARM_UP)),
        "samples_gbit_s=" + " ".join("%.4f" % sample for sample in samples),
    )


said = 0


def say(*cells):
    global said
    said += 1
    print("\t".join(cells))
    sys.stdout.flush()


try:
    main(
        sys.argv[1],
        sys.argv[2],
        int(sys.argv[3]),
        sys.argv[4],
        float(sys.argv[5]),
        int(sys.argv[6]),
        sys.argv[7],
    )
except OSError as error:
    say("trouble", "exit", str(error))
print("end\t%d" % said)
