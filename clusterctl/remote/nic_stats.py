"""A NIC's own counters, as `ethtool -S` shows them: the kernel's SIOCETHTOOL, no tool needed.

linux/ethtool.h: ETHTOOL_GDRVINFO, ETHTOOL_GSTRINGS, ETHTOOL_GSTATS, which ask for no privilege.
Only of ports on a bus that have no RDMA hw_counters, which say the same at less cost.
"""

import array
import fcntl
import glob
import os
import re
import socket
import struct

SIOCETHTOOL, DRIVER, NAMES, VALUES = 0x8946, 0x03, 0x1B, 0x1D
STATISTICS = 1  # ETH_SS_STATS
NAME_BYTES, DRIVER_BYTES = 32, 196
PORTS, COUNTERS, KEPT = 16, 1 << 14, 160
# The driver writes as many as it has now, whatever there was room for: a queue may have been added.
SPARE = 4096
# Lost or damaged frames, flow control and congestion, in the words of mlx5, bnxt_en, hinic, ice …
MATTERS = re.compile(
    r"discard|drop|out_of_buffer|missed|no_?buf|crc|fcs|symbol|bad_pkt|pause|pfc|xoff|ecn|cnp"
    r"|out_of_seq|packet_seq|retrans|new_pkt_rty|ack_timeout|timeout_err|link_down",
    re.IGNORECASE,
)
PER_QUEUE = re.compile(
    r"^(?:\[\d+\]|(?:rx|tx|ch|rxq|txq)[-_.]?(?:queue[-_])?\d+[-_.]|queue_)|xdp|duration|transition"
)


def ports():
    found = []
    for path in sorted(glob.glob("/sys/class/net/*")):
        virtual = os.path.exists(path + "/device/physfn")
        rdma = glob.glob(path + "/device/infiniband/*/ports/*/hw_counters")
        if os.path.exists(path + "/device") and not virtual and not rdma:
            found.append(os.path.basename(path))
    return found[:PORTS]


def ask(wire, name, room):
    """`room`: an array whose first words say what is asked; the driver fills it.  OSError."""
    where = struct.pack("16sP", name.encode(), room.buffer_info()[0])
    fcntl.ioctl(wire, SIOCETHTOOL, where + b"\0" * (40 - len(where)))
    return room.tobytes()


def asked(head, size):
    room = array.array("B", bytes(size))
    room[: len(head)] = array.array("B", head)
    return room


def counted(wire, name):
    """{counter: value} of one port.  Raises OSError."""
    told = ask(wire, name, asked(struct.pack("=I", DRIVER), DRIVER_BYTES))
    number = struct.unpack_from("=I", told, 176 + 4)[0]  # n_stats
    if not 0 < number <= COUNTERS:
        return {}
    head = struct.pack("=III", NAMES, STATISTICS, number)
    names = ask(wire, name, asked(head, 12 + NAME_BYTES * (number + SPARE)))
    values = ask(wire, name, asked(struct.pack("=II", VALUES, number), 8 + 8 * (number + SPARE)))
    if struct.unpack_from("=I", values, 4)[0] != number:
        return {}  # it has others now than it had names for
    found = {}
    for at in range(number):
        word = names[12 + NAME_BYTES * at : 12 + NAME_BYTES * (at + 1)].split(b"\0")[0]
        word = word.decode("ascii", "replace").strip()
        if MATTERS.search(word) and not PER_QUEUE.search(word) and len(found) < KEPT:
            found[word] = struct.unpack_from("=Q", values, 8 + 8 * at)[0]
    return found


def counters():
    """Flat: ethtool.eth0.rx_discards_phy."""
    found = {}
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for name in ports():
            try:
                told = counted(wire, name)
            except OSError:
                continue  # a driver that keeps none
            for word, value in told.items():
                found["ethtool.%s.%s" % (name, word)] = value
    finally:
        wire.close()
    return found
