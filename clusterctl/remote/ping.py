"""How long a message and its answer take over plain TCP.  It travels beside pair.py."""

import socket
import time

from pair_tcp import exactly

WARM_UP = 0.2
FEWEST = 10  # of which a percentile can be told


def quiet(peer):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def bounce(peer, size):
    """Send back whatever comes until the partner hangs up."""
    quiet(peer)
    while True:
        try:
            said = exactly(peer, size)
        except OSError:
            return
        peer.sendall(said)


def ping(peer, size, seconds):
    """The cells of a row: half a round trip, as sockperf reports it."""
    quiet(peer)
    message = bytes(size)
    halves = []
    began = now = time.monotonic()
    while now < began + seconds:
        peer.sendall(message)
        if exactly(peer, size) != message:
            raise OSError("another message came back than was sent")
        last, now = now, time.monotonic()
        if last >= began + seconds * WARM_UP:
            halves.append((now - last) / 2 * 1e6)
    if len(halves) < FEWEST:
        raise OSError("only %d messages came back in %g s" % (len(halves), seconds))
    halves.sort()
    return {
        "size_bytes": size,
        "count": len(halves),
        "min_us": halves[0],
        "median_us": halves[len(halves) // 2],
        "mean_us": sum(halves) / len(halves),
        "p99_us": halves[int(len(halves) * 0.99)],
        "max_us": halves[-1],
    }
