"""What one path between two nodes carries, and how long a message takes.

Arguments: listen|call, the listener's address, ports, secret, seconds, streams, my name and the
partner's as parts spell them, seconds to find each other, seconds without a byte, engine (auto,
perftest, iperf3, built-in), way (forward: the caller sends; backward, apart: one after the other,
both: at once; latency), my own address or nothing, first port of the caller's or 0, my RDMA device
or nothing, memory (host, cuda, auto), bytes of a latency test's message, the folder /sys/class.
With TCP each side reports what it received; perftest's client, which sends, reports its rate.
"""

import os
import sys
import time

import pair_tools
from near_nic import local_address, stay_near
from pair_tcp import call, meet, serve
from ping import bounce, ping
from tcp_streams import (
    BACKWARD,
    BLOCK,
    FORWARD,
    SAMPLES,
    WARM_UP,
    receive,
    send,
    sends,
    shares,
)
from trial import crew, end, tell, trouble

CONTROL = 0xFFFFFFFF  # the number of the stream on which partners agree
STEPS = {
    "forward": ((FORWARD,),),
    "backward": ((BACKWARD,),),
    "apart": ((FORWARD,), (BACKWARD,)),
    "both": ((FORWARD, BACKWARD),),
}


class Side:
    """One of the two: what it was told, and the sockets by which it reaches the other."""

    def __init__(self, words):
        self.role, self.address, ports, secret = words[:4]
        self.ports = [int(port) for port in ports.split(",")]
        self.secret = secret.encode()
        self.seconds, self.streams = float(words[4]), int(words[5])
        self.me, self.peer = words[6:8]
        self.meeting_s, self.stall_s = float(words[8]), float(words[9])
        self.engine, self.way, self.bind = words[10:13]
        self.from_port = int(words[13])
        self.device, self.memory = words[14:16]
        self.size, self.classes = int(words[16]), words[17]
        self.numa = None
        self.server = serve(self.ports, self.bind) if self.role == "listen" else None

    def connect(self, numbers):
        if self.server:
            return meet(self.server, self.secret, numbers, self.meeting_s)
        finish = time.monotonic() + self.meeting_s
        return [
            call(
                *(self.address, self.ports, self.secret, number, finish, self.bind),
                self.from_port and number < CONTROL and self.from_port + number,
            )
            for number in numbers
        ]

    def part(self, turn):
        """The direction's name."""
        sender, receiver = (self.me, self.peer) if sends(self.role, turn) else (self.peer, self.me)
        return "%s>%s" % (sender, receiver)

    def row(self, turn, engine, rates, spans=None, **cells):
        """`spans`: the seconds of each rate, where they differ."""
        spans = spans or [1.0] * len(rates)
        tell(
            "flow",
            part=self.part(turn),
            engine=engine,
            gbit_s=sum(rate * span for rate, span in zip(rates, spans)) / sum(spans),
            samples_gbit_s=" ".join("%.6g" % rate for rate in rates),
            both_ways=int(self.way == "both"),
            numa_node=self.numa,
            **cells,
        )


def turns_of(peers, mine, side, turns, ready, go):
    """What one process received in all turns of its streams; first how many of them were whole."""
    for number, other in enumerate(peers):
        if number not in mine:
            other.close()  # when its own process is gone, the partner must see it
    left, row = [peers[number] for number in mine], []
    for place, turn in enumerate(turns):
        if not sends(side.role, turn):
            left, counted = receive(left, side.seconds, side.stall_s)
            row += counted
            continue
        if place:
            # Nobody sends while another stream still drains: each turn has the link for itself.
            os.close(ready)
            os.read(go, 1)
        left = send(left, side.seconds, side.stall_s)
    if sends(side.role, turns[-1]):
        left = hung_up(left, side.stall_s)
    return [len(left), *row]


def hung_up(peers, stall_s):
    """Those that do, and say nothing before: the partner has read it all."""
    finish = time.monotonic() + stall_s
    done = []
    for peer in peers:
        peer.settimeout(max(0.01, finish - time.monotonic()))
        try:
            if not peer.recv(1):
                done.append(peer)
        except OSError:
            pass  # not among those
    return done


def carry(peers, turns, side):
    """Every stream its turns, `turns[number]`; (streams that were whole, rows of what came).

    A row is segments sent again by the partner, then the bytes of each of SAMPLES slices.
    """
    go, ready = os.pipe()  # `go` ends when every process has closed its copy of `ready`

    def started():
        os.close(ready)
        for peer in peers:
            peer.close()

    parts = shares(turns, len(os.sched_getaffinity(0)))
    told = crew(
        lambda number: turns_of(peers, parts[number], side, turns[parts[number][0]], ready, go),
        range(len(parts)),
        started,
    )
    os.close(go)
    return sum(row[0] for row in told.values()), [row[1:] for row in told.values() if row[1:]]


def built_in(side):
    """One crew for all turns: where they are apart, each stream takes its turns in order."""
    both = side.way == "both"
    each = [turn for step in STEPS[side.way] for turn in step]
    turns = [[turn] for turn in each for _ in range(side.streams)] if both else (
        [each] * side.streams
    )  # fmt: skip
    peers = side.connect(list(range(len(turns))))
    side.numa = stay_near(local_address(peers[0]))
    whole, rows = carry(peers, turns, side)
    if whole < len(turns):
        trouble("exit", "%d of %d streams broke off" % (len(turns) - whole, len(turns)))
        return
    if rows:
        (turn,) = (one for one in set(each) if not sends(side.role, one))
        again, *slices = [sum(column) for column in zip(*rows)]
        slice_s = side.seconds * (1 - WARM_UP) / SAMPLES
        side.row(
            turn,
            "built-in TCP, %d streams" % side.streams,
            [count * 8 / slice_s / 1e9 for count in slices],
            size_bytes=BLOCK,
            seconds=side.seconds * (1 - WARM_UP),
            retransmits=again,
        )


def latency(side):
    (peer,) = side.connect([0])
    side.numa = stay_near(local_address(peer))
    peer.settimeout(side.stall_s)
    if side.role == "listen":
        bounce(peer, side.size)
        return
    times = ping(peer, side.size, side.seconds)
    tell("latency", part="%s>%s" % (side.me, side.peer), engine="built-in TCP", **times)


def main(words):
    side = Side(words)
    if side.engine != "built-in":
        (control,) = side.connect([CONTROL])
        control.settimeout(side.stall_s + 2 * side.seconds)
        # One file for both ways forgets, when it writes, what it has read ahead.
        talk = [control.makefile(way, encoding="utf-8", newline="\n") for way in "rw"]
        side.engine = pair_tools.agree(side, talk, control)
        if side.engine is None:
            return
        if side.engine != "built-in":
            side.numa = stay_near(local_address(control))
            pair_tools.carry(side, talk, control, [] if side.way == "latency" else STEPS[side.way])
            return
    (latency if side.way == "latency" else built_in)(side)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        trouble("exit", error)
    end()
