"""TCP connections as the kernel knows them: NETLINK_SOCK_DIAG, which is what `ss -ti` asks.

linux/inet_diag.h, linux/tcp.h (struct tcp_info): the kernel only ever appends to it, so that what a
younger one adds is left out of an older one's answer.
"""

import socket
import struct

SOCK_DIAG, BY_FAMILY, DUMP, DONE, ERROR = 4, 20, 0x301, 3, 2  # 0x301: REQUEST | ROOT | MATCH
ESTABLISHED, INFO = 1, 2
HEAD, NOTICE = struct.Struct("=IHHII"), struct.Struct("=BBBB2s2s16s16sIII5I")
INODE = struct.Struct("=I")  # the last of NOTICE
WORDS = struct.Struct("=24I")  # of tcp_info, behind its first eight bytes
LATER = struct.Struct("=4Q6I4Q2I2Q3I")
WAIT_S = 2.0


def dump(family):
    """Raises OSError."""
    wire = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG)
    try:
        wire.settimeout(WAIT_S)
        ask = struct.pack(
            "=BBBBI48x", family, socket.IPPROTO_TCP, 1 << (INFO - 1), 0, 1 << ESTABLISHED
        )
        wire.send(HEAD.pack(16 + len(ask), BY_FAMILY, DUMP, 1, 0) + ask)
        while True:
            part = wire.recv(1 << 17)
            at = 0
            while at + 16 <= len(part):
                length, kind = HEAD.unpack_from(part, at)[:2]
                if kind == DONE:
                    return
                if kind == ERROR:
                    number = -struct.unpack_from("=i", part, at + 16)[0]
                    raise OSError(number, "the kernel refuses to list TCP connections")
                if length < 16:
                    raise OSError("netlink: a message of %d bytes" % length)
                yield part, at + 16, at + length
                at += (length + 3) & ~3
    finally:
        wire.close()


def connections(inodes):
    """{inode: cells} of those wanted; see `cells`.  Raises OSError."""
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for part, begin, end in dump(family):
            inode = INODE.unpack_from(part, begin + 68)[0]
            if inode in inodes:
                found[inode] = cells(family, part, begin, end)
    return found


def cells(family, part, begin, end):
    """What one connection's notice says; of tcp_info only what this kernel knows.

    Times: `sent_ms` and `come_ms` since data last went and came; `rtt_us`; `*_us` without rtt add
    up over the connection's life.
    """
    notice = NOTICE.unpack_from(part, begin)
    size = 4 if family == socket.AF_INET else 16
    one = {
        "near": "%s %d" % (plain(family, notice[6][:size]), struct.unpack("!H", notice[4])[0]),
        "far": "%s %d" % (plain(family, notice[7][:size]), struct.unpack("!H", notice[5])[0]),
        "unread": notice[12],
        "unsent": notice[13],
    }
    at = begin + 72
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", part, at)
        if length < 4:
            break
        if kind == INFO:
            one.update(told(part, at + 4, at + length))
        at += (length + 3) & ~3
    return one


def plain(family, packed):
    """An IPv4 address that came in IPv6's clothes is the same address."""
    if len(packed) == 16 and packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(family, packed)


def told(part, at, end):
    if end - at < 8 + WORDS.size:
        return {}
    words = WORDS.unpack_from(part, at + 8)
    one = {
        "mss": words[2],
        "sent_ms": words[9],
        "come_ms": words[11],
        "rtt_us": words[15],
        "retransmitted": words[23],
    }
    rest = part[at + 8 + WORDS.size : end]
    if len(rest) < LATER.size:
        return one
    later = LATER.unpack_from(rest)
    names = (
        (2, "acked"),
        (3, "received"),
        (4, "segments_out"),
        (5, "segments_in"),
        (7, "rtt_least_us"),
        (11, "busy_us"),
        (12, "receiver_us"),
    )
    for place, name in names:
        one[name] = later[place]
    return one
