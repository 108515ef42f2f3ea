"""A few small messages a second to some partners: what each path loses and how long it takes.

Argument: a JSON object: seconds, meeting_s, bytes (of a message), cap_bit_s (of an interface each
way, at most), share (of its own rate, at most), cpu (of one processor, at most) and paths, each
with name, role (call, listen), address, bind (our own address, or nothing), ports, secret.

A message has its answer before the next one leaves, so a slow path slows the probe and is not
filled.  Both ends count segments (linux/tcp.h, tcpi_segs_out and _in, Linux 4.2) and come to rest
before they count: what one sent and the other never got was lost, way by way.  Messages are
stamped by the kernel when they come, so a processor that is late to read them does not matter.

Prints a JSON object a line, `k` says which: path (one each), cost; last end with their number.
Of a path's caller: messages, how many; rtt_us, forward_us, backward_us of those that were stamped,
each [least, median, 90th percentile, most]; the ways apart contain the difference of two clocks.
Of either end: send_us, alike: what sending a message took it; stamped: whether the kernel does so;
`out`, `in`, `again`: its segments.
"""

import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time

from near_nic import interface_of, local_address
from pair_tcp import call, exactly, meet, serve

TIMESTAMPNS = 35  # asm-generic/socket.h, SO_TIMESTAMPNS; messages of the same number carry it
STAMP = struct.Struct("@ll")
OUTQ = 0x5411  # asm-generic/ioctls.h, TIOCOUTQ: what nobody has acknowledged
AGAIN_AT, SEGMENTS_AT = 100, 136  # struct tcp_info, linux/tcp.h
HEAD = struct.Struct("<Idd")  # number; when it came, 0 where nobody knows; when it left
HELLO = struct.Struct("<d")  # what this end's interface may carry for the path, bit/s
LAST = 0xFFFFFFFF
STALL_S = 5.0
REST_S = 0.3  # an acknowledgement is held back for 0.04 to 0.2 s (linux/tcp.h, TCP_DELACK_MAX)
HANG_UP_S = 1.0  # the other end counts before it sees us go
COUNT, LOCK = [0], threading.Lock()


def say(kind, **cells):
    with LOCK:
        COUNT[0] += 1
        print(json.dumps(dict(cells, k=kind), separators=(",", ":")))


def speed_bit_s(name):
    """What the interface says it carries; 0: it does not say."""
    try:
        with open("/sys/class/net/%s/speed" % name) as file:
            return max(0, int(file.read())) * 1e6
    except (OSError, ValueError):
        return 0


class Path:
    """One partner: what was asked, and what came of it."""

    def __init__(self, order, wanted, beside):
        self.order = order
        self.wanted = wanted
        self.beside = beside  # paths of the same address of ours
        self.times = []  # (round trip, there, back) in seconds
        self.sends = []  # seconds that this end spent on sending
        self.cells = {"name": order["name"], "role": order["role"], "why": ""}
        self.messages = 0
        self.stamped = None  # of the messages that came, some, by the kernel
        self.peer = None

    def run(self, server):
        try:
            self.peer = self.met(server)
            self.peer.settimeout(STALL_S)
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.stamp()
            self.agree()
            (self.ask if self.order["role"] == "call" else self.answer)()
            self.rest()
        except (OSError, struct.error) as error:
            self.cells["why"] = " ".join(str(error).split())[:200]
        if self.peer is not None:
            self.counted()
        say("path", **self.told())

    def met(self, server):
        secret, patience = self.order["secret"].encode(), self.wanted["meeting_s"]
        if server is not None:
            return meet(server, secret, [0], patience)[0]
        finish = time.monotonic() + patience
        where = self.order["address"], self.order["ports"]
        return call(where[0], where[1], secret, 0, finish, self.order["bind"])

    def stamp(self):
        try:
            self.peer.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
        except OSError:
            pass  # then no message says when it came

    def agree(self):
        """The slower end says how fast."""
        own = speed_bit_s(interface_of(local_address(self.peer)))
        mine = self.wanted["cap_bit_s"]
        if own:
            mine = min(mine, own * self.wanted["share"])
        mine /= self.beside
        self.peer.sendall(HELLO.pack(mine))
        theirs = HELLO.unpack(exactly(self.peer, HELLO.size))[0]
        self.rate = min(mine, max(theirs, 1.0))
        self.cells["rate_bit_s"] = self.rate

    def heard(self):
        """(number, its two times, when it came; 0: the kernel does not say)."""
        parts, size, came = b"", self.wanted["bytes"], 0.0
        while len(parts) < size:
            part, told, _, _ = self.peer.recvmsg(size - len(parts), 64)
            if not part:
                raise OSError("the partner hung up")
            parts += part
            for level, kind, data in told:
                if level == socket.SOL_SOCKET and kind == TIMESTAMPNS and len(data) >= STAMP.size:
                    seconds, nanoseconds = STAMP.unpack(data[: STAMP.size])
                    came = seconds + nanoseconds / 1e9
        self.stamped = bool(self.stamped) or came > 0
        return (*HEAD.unpack_from(parts), came)

    def send(self, number, came):
        filler = bytes(self.wanted["bytes"] - HEAD.size)
        left = time.time()
        self.peer.sendall(HEAD.pack(number, came, left) + filler)
        self.sends.append(max(0.0, time.time() - left))
        return left

    def ask(self):
        least = self.wanted["bytes"] * 8 / self.rate
        cpu, began, number = time.process_time(), time.monotonic(), 0
        due = now = began
        while due < began + self.wanted["seconds"]:
            time.sleep(max(0.0, due - now))
            left = self.send(number, 0.0)
            _, there, back, came = self.heard()
            # Without a stamp, as of the first ones, it is when a processor came to read it.
            if there and came:
                self.times.append(((came - left) - (back - there), there - left, came - back))
            self.messages = number = number + 1
            now = time.monotonic()
            # All paths here took this of a processor: until then they may have.
            within = began + (time.process_time() - cpu) / self.wanted["cpu"]
            due = later(due + least, now, within)
        self.send(LAST, 0.0)
        self.heard()

    def answer(self):
        while True:
            number, _, _, came = self.heard()
            self.send(number, came)
            if number == LAST:
                return

    def rest(self):
        """Until nothing is on its way any more."""
        finish = time.monotonic() + STALL_S
        while time.monotonic() < finish:
            if not struct.unpack("i", fcntl.ioctl(self.peer, OUTQ, b"\0" * 4))[0]:
                break
            time.sleep(0.02)
        time.sleep(REST_S)

    def counted(self):
        told = self.peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        if len(told) >= AGAIN_AT + 4:
            self.cells["again"] = struct.unpack_from("=I", told, AGAIN_AT)[0]
        if len(told) >= SEGMENTS_AT + 8:
            self.cells["out"], self.cells["in"] = struct.unpack_from("=II", told, SEGMENTS_AT)

    def told(self):
        if self.sends:
            self.cells["send_us"] = spread(self.sends)
        if self.times:
            names = ("rtt_us", "forward_us", "backward_us")
            columns = zip(*self.times)
            self.cells.update({name: spread(one) for name, one in zip(names, columns)})
        if self.messages:
            self.cells["messages"] = self.messages
        if self.stamped is not None:
            self.cells["stamped"] = self.stamped
        return self.cells


def later(paced, now, within):
    """When the next message leaves; a partner does not wait for it as long as it may."""
    return max(paced, now, min(within, now + STALL_S / 2))


def spread(values):
    ordered = sorted(values)
    last = len(ordered) - 1
    return [round(ordered[round(last * share)] * 1e6, 1) for share in (0, 0.5, 0.9, 1)]


def main():
    wanted = json.loads(sys.argv[1])
    try:
        os.nice(19 - os.nice(0))
    except OSError:
        pass
    began = time.monotonic()
    orders = wanted["paths"]
    crew, paths = [], []
    for order in orders:
        beside = sum(one["bind"] == order["bind"] for one in orders)
        path, server = Path(order, wanted, beside), None
        if order["role"] == "listen":
            try:
                server = serve(order["ports"], order["bind"])
            except OSError as error:
                path.cells["why"] = str(error)
                say("path", **path.told())
                continue
        crew.append(threading.Thread(target=path.run, args=(server,)))
        paths.append(path)
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    time.sleep(HANG_UP_S)
    used = os.times()
    say("cost", cpu_s=round(used[0] + used[1], 4), seconds=round(time.monotonic() - began, 3))


if __name__ == "__main__":
    main()
    print(json.dumps({"k": "end", "rows": COUNT[0]}))
